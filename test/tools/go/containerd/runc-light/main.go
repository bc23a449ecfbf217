// Command runc-light is runc for a machine whose cgroup v2 hierarchy has no controllers of its own, as in a container
// whose host uses cgroup v1, and whose root may not lower an OOM score. It removes from a container's configuration
// what cannot be applied there, and then becomes the runc that lies beside it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-light:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	bundle, creates := ".", false
	for i, arg := range args {
		switch arg {
		case "update": // of resources, none of which was applied
			return nil
		case "create", "run":
			creates = true
		case "--bundle", "-b":
			if i+1 < len(args) {
				bundle = args[i+1]
			}
		}
	}
	if creates {
		if err := lighten(filepath.Join(bundle, "config.json")); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runc := filepath.Join(filepath.Dir(self), "runc")
	return syscall.Exec(runc, append([]string{runc}, args...), os.Environ())
}

// lighten keeps the rules for devices, which need no controller, of all resources.
func lighten(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if linux, ok := spec["linux"].(map[string]any); ok {
		if resources, ok := linux["resources"].(map[string]any); ok {
			linux["resources"] = map[string]any{"devices": resources["devices"]}
		}
	}
	if process, ok := spec["process"].(map[string]any); ok {
		if score, ok := process["oomScoreAdj"].(float64); ok && score < 0 {
			process["oomScoreAdj"] = 0
		}
	}
	text, err = json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
