// Command floor downloads blobs of a registry with as little work as possible, as a measure for what any client could
// reach: it discards them, or verifies their digests and writes them into files, which it does not sync.
//
//	floor [-output DIR] [-ca FILE] [-connections N] [-range BYTES] URL < "digest size" lines
//
// URL is that of the blobs: http://127.0.0.1:5000/v2/models/tiny/blobs/
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
)

func main() {
	output := flag.String("output", "", "the directory of the files; without it everything is discarded")
	ca := flag.String("ca", "", "the certificate of the registry")
	connections := flag.Int("connections", 1, "how many connections to use")
	size := flag.Int64("range", 0, "the bytes of a request; without it each blob is one")
	flag.Parse()
	if err := run(flag.Arg(0), *output, *ca, *connections, *size); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, output, ca string, connections int, size int64) error {
	blobs, err := readBlobs(output, size)
	if err != nil {
		return err
	}
	base, err := url.Parse(address)
	if err != nil {
		return err
	}
	dial, err := dialer(base, ca)
	if err != nil {
		return err
	}
	var parts []*part
	for _, blob := range blobs {
		parts = append(parts, blob.parts...)
	}
	// With one file, the other core hashes what this one receives. With several, each connection does both.
	follow := output != "" && (len(blobs) == 1 || size > 0)

	var next atomic.Int64
	var group sync.WaitGroup
	failures := make(chan error, connections+len(blobs))
	for range connections {
		group.Go(func() { failures <- receive(dial, base, parts, &next, output != "" && !follow) })
	}
	if follow {
		for _, blob := range blobs {
			group.Go(func() { failures <- blob.follow() })
		}
	}
	go func() {
		group.Wait()
		close(failures)
	}()
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// receive takes one part after the other, on a connection of its own.
func receive(dial func() (net.Conn, error), base *url.URL, parts []*part, next *atomic.Int64, hash bool) error {
	connection, err := dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	stream := newStream(connection, base)
	for {
		at := next.Add(1) - 1
		if at >= int64(len(parts)) {
			return nil
		}
		if err := parts[at].receive(stream, hash); err != nil {
			return err
		}
	}
}

func dialer(base *url.URL, ca string) (func() (net.Conn, error), error) {
	if base.Scheme != "https" {
		return func() (net.Conn, error) { return net.Dial("tcp", base.Host) }, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return func() (net.Conn, error) { return tls.Dial("tcp", base.Host, &tls.Config{RootCAs: roots}) }, nil
}

func readBlobs(output string, size int64) ([]*blob, error) {
	var blobs []*blob
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var digest string
		var length int64
		if _, err := fmt.Sscan(lines.Text(), &digest, &length); err != nil {
			return nil, err
		}
		blob, err := openBlob(output, digest, length, size)
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, blob)
	}
	return blobs, lines.Err()
}
