package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// supervisor starts components as children of this process. The kernel kills
// them when it dies, however it dies.
type supervisor struct {
	dir     string
	program string
	ended   chan error // the first component that ends ends everything
	running []*exec.Cmd
	waiting sync.WaitGroup
}

func newSupervisor(dir string) (*supervisor, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &supervisor{dir: dir, program: program, ended: make(chan error, 16)}, nil
}

// start runs one component with its output in DIR/<name>.log. It must be
// called from the main goroutine, which owns its thread (see main).
func (s *supervisor) start(name string, args ...string) error {
	path := filepath.Join(s.dir, name+".log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(s.program, append([]string{name}, args...)...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The registry ends with its stdin: it gets a pipe that lives as long as we do.
	if _, err := command.StdinPipe(); err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.running = append(s.running, command)
	s.waiting.Go(func() { s.ended <- fmt.Errorf("%s ended: %v (see %s)", name, command.Wait(), path) })
	return nil
}

// remove ends all components and deletes what they wrote.
func (s *supervisor) remove() error {
	for _, command := range s.running {
		// An error means that it has ended already.
		_ = command.Process.Kill()
	}
	s.waiting.Wait()
	return os.RemoveAll(s.dir)
}

// freeAddresses picks loopback addresses below the kernel's ephemeral range,
// so that no outgoing connection can take one between our look and the bind.
func freeAddresses(count int) ([]string, error) {
	var addresses []string
	for range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000)))
		if err != nil {
			continue
		}
		defer listener.Close() // held until all are chosen, so that they differ
		if addresses = append(addresses, listener.Addr().String()); len(addresses) == count {
			return addresses, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports on loopback", count)
}
