// Command pace limits what a server sends: it passes connections to it, each at most at one rate, and all together at
// another. It prints the address on which it listens.
//
//	pace [-each BYTES] [-all BYTES] HOST:PORT     in bytes a second; 0 is no limit
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"
)

const chunk = 64 << 10

func main() {
	each := flag.Int64("each", 0, "the rate of a connection")
	all := flag.Int64("all", 0, "the rate of all connections")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	link := &rate{bytes: *all}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go pass(client, flag.Arg(0), link, &rate{bytes: *each})
	}
}

func pass(client net.Conn, address string, rates ...*rate) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	}()
	for { // io.CopyN splices from socket to socket
		count, err := io.CopyN(client, server, chunk)
		if err != nil {
			return
		}
		for _, rate := range rates {
			rate.wait(count)
		}
	}
}

// A rate spreads bytes over time, and makes up for a sleep that took a little longer than asked.
type rate struct {
	bytes int64
	mutex sync.Mutex
	next  time.Time
}

const credit = 5 * time.Millisecond

func (r *rate) wait(count int64) {
	if r.bytes == 0 {
		return
	}
	r.mutex.Lock()
	if earliest := time.Now().Add(-credit); r.next.Before(earliest) {
		r.next = earliest
	}
	r.next = r.next.Add(time.Duration(count) * time.Second / time.Duration(r.bytes))
	until := r.next
	r.mutex.Unlock()
	time.Sleep(time.Until(until))
}
