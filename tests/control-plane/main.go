// Command control-plane is a Kubernetes for tests, in one binary: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, fake nodes (kwok),
// kubectl and a container registry, all from ordinary Go modules pinned by
// go.sum. Nothing is pulled at run time and nothing needs root.
//
//	control-plane up --dir DIR          a whole control plane and a registry
//	control-plane registry --dir DIR    a registry alone
//	control-plane kubectl ...           kubectl of the same version
//	control-plane version               one JSON line
//
// up and registry print one JSON line when they are ready and live until
// stdin ends, so that nothing outlives a killed test.
//
// Global flags and signal handlers allow one Kubernetes component per process,
// so up runs each component as a child process of this same binary.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"k8s.io/component-base/version"
)

func main() {
	// Pdeathsig follows the thread that started a child, not the process:
	// the main goroutine starts them all and keeps its thread.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: control-plane up|registry|kubectl|version")
	}
	switch args[0] {
	case "up":
		return up(args[1:])
	case "registry":
		return registry(args[1:])
	case "version":
		return printReady(map[string]any{"kubernetes": version.Get().GitVersion})
	}
	component, known := components[args[0]]
	if !known {
		return fmt.Errorf("unknown command %q", args[0])
	}
	os.Args = args // each component believes that it is the program
	return component()
}

// printReady writes the one line that stdout ever sees.
func printReady(facts map[string]any) error {
	line, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}
