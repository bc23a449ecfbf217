// apply-layers reads jobs from its input, a line of JSON each, and answers each with a line. A job extracts layers, the
// lowest first, onto the empty directory ROOT by containerd's archive package, one after the other, and the answer has
// what is below ROOT then. Layers are tars, plain or compressed. Tests compare the product with it.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
	"github.com/containerd/log"
)

type job struct {
	Root   string   `json:"root"`
	Layers []string `json:"layers"`
}

type node struct {
	Path   string            `json:"path"`
	Kind   string            `json:"kind"`
	Mode   uint32            `json:"mode"`
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Time   string            `json:"time"`
	Inode  uint64            `json:"inode"`
	Target string            `json:"target,omitempty"`
	Sha256 string            `json:"sha256,omitempty"`
	Xattrs map[string]string `json:"xattrs,omitempty"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	Nodes []node `json:"nodes,omitempty"`
}

func main() {
	syscall.Umask(0)
	// Warnings of attributes that are passed over.
	if err := log.SetLevel("error"); err != nil {
		panic(err)
	}
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var next job
		if err := json.Unmarshal(in.Bytes(), &next); err != nil {
			panic(err)
		}
		nodes, err := run(next)
		result := answer{Nodes: nodes}
		if err != nil {
			result = answer{Error: err.Error()}
		}
		if err := out.Encode(result); err != nil {
			panic(err)
		}
	}
}

func run(next job) ([]node, error) {
	for number, layer := range next.Layers {
		if err := apply(next.Root, layer); err != nil {
			return nil, fmt.Errorf("layer %d: %w", number+1, err)
		}
	}
	return list(next.Root)
}

// As containerd does it for overlayfs, parents that no entry describes take their attributes from the layers below.
func apply(root, layer string) error {
	below, err := os.MkdirTemp(filepath.Dir(root), "below-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(below)
	if err := continuity.CopyDir(below, root); err != nil {
		return err
	}
	file, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer file.Close()
	tar, err := compression.DecompressStream(file)
	if err != nil {
		return err
	}
	defer tar.Close()
	_, err = archive.Apply(context.Background(), root, tar, archive.WithParents([]string{below}))
	return err
}

func list(root string) ([]node, error) {
	nodes := []node{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		found, err := describe(path)
		found.Path = strings.TrimPrefix(path, root+"/")
		nodes = append(nodes, found)
		return err
	})
	return nodes, err
}

func describe(path string) (node, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return node{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	found := node{
		Kind:  kindOf(info.Mode()),
		Mode:  stat.Mode & 0o7777,
		UID:   stat.Uid,
		GID:   stat.Gid,
		Time:  fmt.Sprint(stat.Mtim.Nano()),
		Inode: stat.Ino,
	}
	switch found.Kind {
	case "symlink":
		found.Target, err = os.Readlink(path)
		return found, err
	case "file":
		content, err := os.ReadFile(path)
		if err != nil {
			return found, err
		}
		sum := sha256.Sum256(content)
		found.Sha256 = hex.EncodeToString(sum[:])
	case "special":
		return found, nil
	}
	found.Xattrs, err = xattrsOf(path)
	return found, err
}

func xattrsOf(path string) (map[string]string, error) {
	names, err := sysx.LListxattr(path)
	if errors.Is(err, syscall.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	xattrs := map[string]string{}
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value, err := sysx.LGetxattr(path, name)
		if err != nil {
			return nil, err
		}
		xattrs[name] = string(value)
	}
	return xattrs, nil
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symlink"
	default:
		return "special"
	}
}
