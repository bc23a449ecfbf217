package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
)

// 64 to 256 KiB measured best: larger ones leave the cache of a core.
const bufferSize = 256 << 10

// A stream is one connection with its buffer, for one request after the other.
type stream struct {
	connection net.Conn
	base       *url.URL
	buffer     []byte
}

func newStream(connection net.Conn, base *url.URL) *stream {
	return &stream{connection, base, make([]byte, bufferSize)}
}

// request asks for a part, and returns those of its bytes that came with the head of the response.
func (s *stream) request(p *part) ([]byte, error) {
	ranged := ""
	if p.to-p.from < p.blob.size {
		ranged = fmt.Sprintf("Range: bytes=%d-%d\r\n", p.from, p.to-1)
	}
	path := s.base.Path + p.blob.digest
	if _, err := fmt.Fprintf(s.connection, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, s.base.Host, ranged); err != nil {
		return nil, err
	}
	length := 0
	for length < len(s.buffer) {
		count, err := s.connection.Read(s.buffer[length:])
		if err != nil {
			return nil, err
		}
		length += count
		head, body, found := bytes.Cut(s.buffer[:length], []byte("\r\n\r\n"))
		if !found {
			continue
		}
		status := map[bool]string{true: "206", false: "200"}[ranged != ""]
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 "+status)) || bytes.Contains(head, []byte("Transfer-Encoding")) {
			return nil, fmt.Errorf("%s: %s", path, head)
		}
		return body, nil
	}
	return nil, fmt.Errorf("%s: the head of the response is too large", path)
}

func (s *stream) read(limit int64) ([]byte, error) {
	count, err := s.connection.Read(s.buffer[:min(limit, bufferSize)])
	return s.buffer[:count], err
}

// discard drops bytes: in the kernel where that is possible, so that they are never copied.
func (s *stream) discard(length int64) error {
	plain, isPlain := s.connection.(*net.TCPConn)
	if !isPlain {
		for length > 0 {
			chunk, err := s.read(length)
			if err != nil {
				return err
			}
			length -= int64(len(chunk))
		}
		return nil
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		return err
	}
	for length > 0 && err == nil {
		var count int
		var failure error
		err = raw.Read(func(descriptor uintptr) bool {
			count, failure = truncate(int(descriptor), length)
			return failure != syscall.EAGAIN
		})
		if failure != nil {
			return failure
		}
		if count == 0 {
			return io.ErrUnexpectedEOF
		}
		length -= int64(count)
	}
	return err
}
