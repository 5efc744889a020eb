package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	// Only so that go.sum pins the module whose CRDs build.sh copies.
	_ "sigs.k8s.io/gateway-api/pkg/consts"
)

// api is the few requests that up needs before it can say ready.
type api struct {
	server string
	client *http.Client
}

func newAPI(server string, creds *credentials) (*api, error) {
	client, err := rest.HTTPClientFor(&rest.Config{
		Host: server, BearerToken: creds.tokens["admin"], Timeout: 10 * time.Second,
		TLSClientConfig: rest.TLSClientConfig{CAData: creds.authority},
	})
	return &api{server, client}, err
}

// get returns the status code and the body; 0 means no answer yet.
func (a *api) get(path string) (int, []byte) {
	response, err := a.client.Get(a.server + path)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, body
}

func (a *api) answers(path string) func() bool {
	return func() bool {
		status, _ := a.get(path)
		return status == http.StatusOK
	}
}

func (a *api) create(path string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	response, err := a.client.Post(a.server+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		reason, _ := io.ReadAll(response.Body)
		return fmt.Errorf("create at %s: %s: %s", path, response.Status, reason)
	}
	return nil
}

// createNode makes a node that kwok then keeps Ready; its size is the default
// of kwok's stage (a thousand CPUs), so nothing is ever unschedulable.
func (a *api) createNode(name string) error {
	return a.create("/api/v1/nodes", map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name":        name,
			"annotations": map[string]string{"kwok.x-k8s.io/node": "fake"},
			"labels": map[string]string{
				"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
				"kubernetes.io/hostname": name,
			},
		},
	})
}

func (a *api) nodesReady(count int) func() bool {
	return func() bool {
		_, body := a.get("/api/v1/nodes")
		var nodes struct {
			Items []struct {
				Spec   struct{ Taints []any }
				Status struct {
					Conditions []struct{ Type, Status string }
				}
			}
		}
		if json.Unmarshal(body, &nodes) != nil {
			return false
		}
		ready := 0
		for _, node := range nodes.Items {
			for _, condition := range node.Status.Conditions {
				// Until the not-ready taint is gone pods wait for the scheduler's retry.
				if condition.Type == "Ready" && condition.Status == "True" && len(node.Spec.Taints) == 0 {
					ready++
				}
			}
		}
		return ready == count
	}
}

// createDefinitions creates the custom resource definitions in a folder and
// leaves its other files alone.
func (a *api) createDefinitions(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var object map[string]any
		if err := yaml.Unmarshal(text, &object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if object["kind"] != "CustomResourceDefinition" {
			continue
		}
		if err := a.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", object); err != nil {
			return err
		}
	}
	return nil
}
