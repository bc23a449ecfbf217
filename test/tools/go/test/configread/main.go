// Command configread reads configuration as container runtimes do and prints what they make of it in JSON: registries.conf
// and policy.json by the library of containers, a directory of hosts.toml by containerd's.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: configread registries FILE | policy FILE | hosts DIRECTORY REGISTRY"))
	}
	read := map[string]func(...string) (any, error){"registries": registries, "policy": policy, "hosts": hosts}[os.Args[1]]
	if read == nil {
		fail(fmt.Errorf("%s is unknown", os.Args[1]))
	}
	found, err := read(os.Args[2:]...)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func registries(of ...string) (any, error) {
	return sysregistriesv2.GetRegistries(&types.SystemContext{
		SystemRegistriesConfPath:    of[0],
		SystemRegistriesConfDirPath: "/nonexistent",
	})
}

func policy(of ...string) (any, error) {
	return signature.NewPolicyFromFile(of[0])
}

type host struct{ Scheme, Host, Path string }

func hosts(of ...string) (any, error) {
	find := config.ConfigureHosts(context.Background(), config.HostOptions{HostDir: config.HostDirFromRoot(of[0])})
	found, err := find(of[1])
	hosts := []host{}
	for _, each := range found {
		hosts = append(hosts, host{each.Scheme, each.Host, each.Path})
	}
	return hosts, err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
