// A Penstock processor in Go, standard library only. The contract: docs/processor-contract.md.
//
// It turns orders such as {"amount": "12.50"} into {"cents": 1250, …} and refuses what is no order.
// Run it with `go run processor.go [PORT or SOCKET]`.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Header is one header of a record. A nil Value is null, which is not the same as empty.
type Header struct{ Name, Value []byte }

// Record is a Kafka record as Penstock sends it. A nil Key or Value is null, which is not the same as empty.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Attempt    string
	ID         string // the same for every attempt at this record, for ever
}

func decode(text string) ([]byte, error) {
	plain, err := url.PathUnescape(text) // not QueryUnescape: a plus is a plus
	return []byte(plain), err
}

// read makes a record of its parts: part gives what Penstock says by the header or attribute of that name.
func read(part func(name string) string, value []byte, id string) (Record, error) {
	record, err := Record{Attempt: part("Attempt"), ID: id}, error(nil)
	nulls := strings.Split(part("Null"), ",")
	if !slices.Contains(nulls, "key") {
		if record.Key, err = decode(part("Key")); err != nil {
			return record, err
		}
	}
	if !slices.Contains(nulls, "value") {
		record.Value = append([]byte{}, value...)
	}
	for pair := range strings.SplitSeq(part("Headers"), "&") {
		if pair == "" {
			continue
		}
		name, value, some := strings.Cut(pair, "=")
		var header Header
		if header.Name, err = decode(name); err != nil {
			return record, err
		}
		if some {
			if header.Value, err = decode(value); err != nil {
				return record, err
			}
		}
		record.Headers = append(record.Headers, header)
	}
	return record, nil
}

// Event is a record that travels in the body, as a CloudEvent in JSON: its attributes, all of them text.
type Event map[string]string

func (event Event) record() (Record, error) {
	value, err := base64.StdEncoding.DecodeString(event["data_base64"])
	if err != nil {
		return Record{}, err
	}
	part := func(name string) string { return event["penstock"+strings.ToLower(name)] }
	return read(part, value, event["idempotencykey"])
}

func text(raw []byte) *string {
	if raw == nil {
		return nil
	}
	encoded := hex.EncodeToString(raw)
	return &encoded
}

// Order is what a record becomes.
type Order struct {
	Cents   json.Number  `json:"cents"`
	Key     *string      `json:"key"`
	Headers [][2]*string `json:"headers"`
}

// process gives the order, or nil for none, or the reason why this record never will succeed.
func process(record Record) (order *Order, reason string) {
	if record.Value == nil {
		return nil, "" // a tombstone: done, and nothing for the output topic
	}
	var given struct{ Amount string }
	amount, isNumber := new(big.Rat), false
	if json.Unmarshal(record.Value, &given) == nil {
		amount, isNumber = amount.SetString(given.Amount)
	}
	if !isNumber {
		return nil, "not an order with an amount"
	}
	cents := new(big.Rat).Mul(amount, big.NewRat(100, 1))
	headers := [][2]*string{}
	for _, header := range record.Headers {
		headers = append(headers, [2]*string{text(header.Name), text(header.Value)})
	}
	return &Order{json.Number(cents.FloatString(0)), text(record.Key), headers}, ""
}

// Output is a record for the output topic; its key stays the same.
type Output struct {
	Data        *Order `json:"data"`
	ContentType string `json:"datacontenttype"`
}

// Item says what became of one record of a batch. A record without an item would be tried again.
type Item struct {
	Item    int      `json:"item"`
	Verdict string   `json:"verdict"`
	Reason  string   `json:"reason,omitempty"`
	Output  []Output `json:"output,omitempty"`
}

func batch(events []Event) []Item {
	items, stopped := []Item{}, map[[3]string]bool{}
	for number, event := range events {
		key := [3]string{event["penstocktopic"], event["penstockpartition"], event["penstockkey"]}
		if stopped[key] {
			continue // with batch.sameLane: behind a failed one of its key, so not its turn yet
		}
		item := Item{Item: number, Verdict: "ack"}
		if record, err := event.record(); err != nil {
			item.Verdict, item.Reason = "retry", err.Error()
		} else if order, reason := process(record); reason != "" {
			item.Verdict, item.Reason = "reject", reason
		} else if order != nil {
			item.Output = []Output{{order, "application/json"}}
		}
		if _, keyed := event["penstockkey"]; keyed && item.Verdict != "ack" {
			stopped[key] = true
		}
		items = append(items, item)
	}
	return items
}

func answer(response http.ResponseWriter, value any) {
	response.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(response).Encode(value); err != nil {
		log.Print(err)
	}
}

func serve(response http.ResponseWriter, request *http.Request) {
	failed := func(err error) { http.Error(response, err.Error(), http.StatusInternalServerError) } // 5xx: try again
	body, err := io.ReadAll(request.Body)
	if err != nil {
		failed(err)
		return
	}
	var record Record
	if request.Header.Get("Penstock-Records") == "" {
		part := func(name string) string { return request.Header.Get("Penstock-" + name) }
		record, err = read(part, body, request.Header.Get("Idempotency-Key"))
	} else if bytes.HasPrefix(body, []byte("[")) { // a batch
		var events []Event
		if err = json.Unmarshal(body, &events); err == nil {
			answer(response, map[string][]Item{"items": batch(events)})
			return
		}
	} else { // one record that has very long headers
		var event Event
		if err = json.Unmarshal(body, &event); err == nil {
			record, err = event.record()
		}
	}
	if err != nil {
		failed(err)
		return
	}
	order, reason := process(record)
	switch {
	case reason != "": // 422: it never will succeed, so it goes to the dead-letter topic with this reason
		response.Header().Set("Penstock-Reason", reason)
		response.WriteHeader(http.StatusUnprocessableEntity)
	case order == nil:
		response.WriteHeader(http.StatusNoContent)
	default: // 200: done. With an output topic this is the new record's value; its key stays the same.
		answer(response, order)
	}
}

func main() {
	network, address := "tcp", ":8080"
	if len(os.Args) > 1 {
		address = ":" + os.Args[1]
		if strings.Contains(os.Args[1], "/") {
			network, address = "unix", os.Args[1]
			_ = os.Remove(address) // what one that ended before has left
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /", serve)
	fmt.Println("listening on", address)
	log.Fatal(http.Serve(listener, nil))
}
