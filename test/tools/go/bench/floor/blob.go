package main

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// A blob is received in parts, each by one request.
type blob struct {
	digest string
	size   int64
	file   *os.File
	parts  []*part
}

type part struct {
	blob     *blob
	from, to int64
	have     atomic.Int64 // the bytes that are in the file
}

// openBlob opens the file of a blob, unless it is to be discarded: then there is no output directory.
func openBlob(output, digest string, length, size int64) (*blob, error) {
	made := &blob{digest: digest, size: length}
	if size == 0 {
		size = max(length, 1)
	}
	for from := int64(0); from < length; from += size {
		made.parts = append(made.parts, &part{blob: made, from: from, to: min(from+size, length)})
	}
	if output == "" {
		return made, nil
	}
	var err error
	made.file, err = os.Create(filepath.Join(output, digest))
	return made, err
}

func (p *part) receive(from *stream, inline bool) error {
	first, err := from.request(p)
	if err != nil {
		return err
	}
	if p.blob.file == nil {
		return from.discard(p.to - p.from - int64(len(first)))
	}
	digest := sha256.New()
	at := p.from
	for chunk := first; ; {
		if inline {
			digest.Write(chunk)
		}
		if _, err := p.blob.file.WriteAt(chunk, at); err != nil {
			return err
		}
		at += int64(len(chunk))
		p.have.Store(at - p.from)
		if at == p.to {
			break
		}
		if chunk, err = from.read(p.to - at); err != nil {
			return err
		}
	}
	if inline {
		return p.blob.finish(digest)
	}
	return nil
}

// follow hashes what is in the file, while the rest of it comes.
func (b *blob) follow() error {
	digest := sha256.New()
	buffer := make([]byte, bufferSize)
	for _, part := range b.parts {
		for at := part.from; at < part.to; {
			end := min(part.from+part.have.Load(), at+bufferSize)
			if end == at {
				time.Sleep(200 * time.Microsecond)
				continue
			}
			if _, err := b.file.ReadAt(buffer[:end-at], at); err != nil && err != io.EOF {
				return err
			}
			digest.Write(buffer[:end-at])
			at = end
		}
	}
	return b.finish(digest)
}

func (b *blob) finish(digest hash.Hash) error {
	if found := fmt.Sprintf("sha256:%x", digest.Sum(nil)); found != b.digest {
		return fmt.Errorf("%s has the digest %s", b.digest, found)
	}
	return b.file.Close()
}
