package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// The zone of the Kubernetes DNS specification (kubernetes/dns, docs/specification.md). Nothing outside it exists in a lab.
const zone = ".svc.cluster.local."

// ttl in seconds: short, for tests create and delete Services all the time.
const ttl = 1

// dns answers for the names of Services. CoreDNS would do it too, for five more minutes of build and fifty more modules.
type dns struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// serveDNS is the `lab-dns` command: UDP on one address, from the API server's Services and EndpointSlices.
func serveDNS(args []string) error {
	flags := flag.NewFlagSet("lab-dns", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	listen := flags.String("listen", "", "address and port")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	server := dns{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	stop := make(chan struct{})
	factory.Start(stop)
	for kind, synced := range factory.WaitForCacheSync(stop) {
		if !synced {
			return errors.New("no list of " + kind.String())
		}
	}
	socket, err := net.ListenPacket("udp", *listen)
	if err != nil {
		return err
	}
	log.Printf("answering on %s for *%s", *listen, zone)
	buffer := make([]byte, 1500)
	for {
		size, from, err := socket.ReadFrom(buffer)
		if err != nil {
			// A reply that found nobody comes back as an error of the next read.
			log.Print(err)
			time.Sleep(time.Millisecond)
			continue
		}
		if reply, err := server.reply(buffer[:size]); err == nil {
			_, _ = socket.WriteTo(reply, from)
		}
	}
}

func (server dns) reply(packet []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil || header.Response {
		return nil, errors.New("no question")
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	addresses, exists := server.find(strings.ToLower(question.Name.String()))
	answer := dnsmessage.Header{
		ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: true,
		RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
	}
	if !exists {
		answer.RCode = dnsmessage.RCodeNameError
	}
	builder := dnsmessage.NewBuilder(nil, answer)
	builder.EnableCompression()
	if err := builder.StartQuestions(); err != nil {
		return nil, err
	}
	if err := builder.Question(question); err != nil {
		return nil, err
	}
	if err := builder.StartAnswers(); err != nil {
		return nil, err
	}
	if question.Type == dnsmessage.TypeA {
		record := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
		// Thirty addresses fit a packet of 512 bytes, and nobody asks for more of a headless Service at a time.
		for _, address := range addresses[:min(len(addresses), 28)] {
			if err := builder.AResource(record, dnsmessage.AResource{A: [4]byte(address)}); err != nil {
				return nil, err
			}
		}
	}
	return builder.Finish()
}

// find gives the IPv4 addresses of a name, and whether there is such a name at all.
func (server dns) find(name string) ([]net.IP, bool) {
	inZone, found := strings.CutSuffix(name, zone)
	parts := strings.Split(inZone, ".")
	if !found || len(parts) < 2 || len(parts) > 3 {
		return nil, false
	}
	service, namespace := parts[len(parts)-2], parts[len(parts)-1]
	object, err := server.services.Services(namespace).Get(service)
	if err != nil {
		return nil, false
	}
	if len(parts) == 3 {
		addresses := server.endpoints(object, parts[0])
		return addresses, len(addresses) > 0
	}
	if address := net.ParseIP(object.Spec.ClusterIP).To4(); address != nil {
		return []net.IP{address}, true
	}
	return server.endpoints(object, ""), true
}

// endpoints gives the ready addresses behind a Service, or the one of that host name.
func (server dns) endpoints(service *corev1.Service, host string) []net.IP {
	selector := labels.Set{discoveryv1.LabelServiceName: service.Name}.AsSelector()
	slices, err := server.slices.EndpointSlices(service.Namespace).List(selector)
	if err != nil {
		return nil
	}
	var addresses []net.IP
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready || service.Spec.PublishNotReadyAddresses
			named := host == "" || endpoint.Hostname != nil && *endpoint.Hostname == host
			if !ready || !named {
				continue
			}
			for _, address := range endpoint.Addresses {
				if ip := net.ParseIP(address).To4(); ip != nil {
					addresses = append(addresses, ip)
				}
			}
		}
	}
	return addresses
}
