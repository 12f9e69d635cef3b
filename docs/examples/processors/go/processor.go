// A Penstock processor in Go, standard library only. The contract: docs/processor-contract.md.
//
// It turns orders such as {"amount": "12.50"} into {"cents": 1250, …} and refuses what is no order.
// Run it with `go run processor.go [PORT]`.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
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

func read(request *http.Request) (Record, error) {
	record := Record{Attempt: request.Header.Get("Penstock-Attempt"), ID: request.Header.Get("Idempotency-Key")}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return record, err
	}
	key, null, headers := request.Header.Get("Penstock-Key"), request.Header.Get("Penstock-Null"), request.Header.Get("Penstock-Headers")
	// A record with very long headers travels in the body, as a CloudEvent in JSON; everything else is the same.
	if request.Header.Get("Content-Type") == "application/cloudevents+json" {
		var event struct {
			Data                                       []byte `json:"data_base64"`
			PenstockKey, PenstockNull, PenstockHeaders string
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return record, err
		}
		body, key, null, headers = event.Data, event.PenstockKey, event.PenstockNull, event.PenstockHeaders
	}
	nulls := strings.Split(null, ",")
	if !slices.Contains(nulls, "key") {
		if record.Key, err = decode(key); err != nil {
			return record, err
		}
	}
	if !slices.Contains(nulls, "value") {
		record.Value = append([]byte{}, body...)
	}
	for pair := range strings.SplitSeq(headers, "&") {
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

func text(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	encoded := hex.EncodeToString(bytes)
	return &encoded
}

func process(response http.ResponseWriter, request *http.Request) {
	record, err := read(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError) // 5xx: try again
		return
	}
	if record.Value == nil {
		response.WriteHeader(http.StatusNoContent) // a tombstone: done, and nothing for the output topic
		return
	}
	var order struct{ Amount string }
	amount, isNumber := new(big.Rat), false
	if json.Unmarshal(record.Value, &order) == nil {
		amount, isNumber = amount.SetString(order.Amount)
	}
	if !isNumber {
		// 422: this record never will succeed. It goes to the dead-letter topic with this reason.
		response.Header().Set("Penstock-Reason", "not an order with an amount")
		response.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	cents := new(big.Rat).Mul(amount, big.NewRat(100, 1))
	headers := [][2]*string{}
	for _, header := range record.Headers {
		headers = append(headers, [2]*string{text(header.Name), text(header.Value)})
	}
	// 200: done. With an output topic this is the new record's value; its key stays the same.
	response.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"cents": json.Number(cents.FloatString(0)), "key": text(record.Key), "headers": headers}
	if err := json.NewEncoder(response).Encode(answer); err != nil {
		log.Print(err)
	}
}

func main() {
	port := "8080"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	http.HandleFunc("POST /", process)
	fmt.Println("listening on", port)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
