package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// registry serves the real container registry (distribution) over plain http
// on loopback, with deletion enabled, until stdin ends.
func registry(args []string) error {
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of blobs and logs")
	address := flags.String("address", "127.0.0.1:0", "address to listen on")
	login := flags.String("login", "", "USER:PASSWORD asked of everybody (basic auth)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("registry needs --dir")
	}
	handler, requests, err := registryHandler(*dir, *login)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(listener, handler) }()
	err = printReady(map[string]any{"registry": listener.Addr().String(), "request_log": requests})
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-stdinEnds():
		return nil
	}
}

// registryHandler is the registry and, in DIR/requests.jsonl, who asked it what.
func registryHandler(dir, login string) (http.Handler, string, error) {
	settings := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": filepath.Join(dir, "blobs")},
			"delete":      {"enabled": true},
			"maintenance": {"uploadpurging": map[interface{}]interface{}{"enabled": false}},
		},
		// Two a page, so that a list of three has a second page.
		Catalog: configuration.Catalog{MaxEntries: 2},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	if login != "" {
		file := filepath.Join(dir, "htpasswd")
		if err := writeHtpasswd(file, login); err != nil {
			return nil, "", err
		}
		settings.Auth = configuration.Auth{"htpasswd": {"realm": "tests", "path": file}}
	}
	logrus.SetLevel(logrus.ErrorLevel) // a refused login is a warning, and is meant
	requests := filepath.Join(dir, "requests.jsonl")
	file, err := os.Create(requests)
	if err != nil {
		return nil, "", err
	}
	return logRequests(handlers.NewApp(context.Background(), settings), file), requests, nil
}

func writeHtpasswd(file, login string) error {
	user, password, found := strings.Cut(login, ":")
	if !found {
		return errors.New("--login wants USER:PASSWORD")
	}
	// The cheapest cost: every request pays it, and the password is no secret.
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600)
}

// logRequests writes a line before a client can have read the end of its answer.
func logRequests(next http.Handler, log io.Writer) http.Handler {
	var mutex sync.Mutex
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		recorder := &statusRecorder{ResponseWriter: response, status: http.StatusOK}
		method, path := request.Method, request.URL.Path
		next.ServeHTTP(recorder, request)
		user, _, _ := request.BasicAuth()
		line, err := json.Marshal(map[string]any{
			"method": method, "path": path, "status": recorder.status,
			"user": user, "agent": request.UserAgent(),
		})
		if err != nil {
			return
		}
		mutex.Lock()
		defer mutex.Unlock()
		if _, err := log.Write(append(line, '\n')); err != nil {
			logrus.Error("request log: ", err)
		}
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// stdinEnds is closed when whoever started us is gone.
func stdinEnds() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Whatever ends the reading, an error too, means that nobody is there.
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return ended
}
