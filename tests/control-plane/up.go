package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodelease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
`

const readyWithin = 60 * time.Second

// plane is one control plane while it starts and runs.
type plane struct {
	*supervisor
	creds                             *credentials
	api                               *api
	server, registry, etcd, etcdPeers string
	kubeconfig, audit                 string
	nodes                             int
	stages                            string
	ephemeral                         bool
	stop                              chan error
}

// errStopped is the end that was asked for: stdin ended, or a signal came.
var errStopped = errors.New("stopped")

func up(args []string) error {
	p, err := newPlane(args)
	if err != nil {
		return err
	}
	err = p.run()
	if !errors.Is(err, errStopped) {
		return err
	}
	if p.ephemeral {
		return p.remove()
	}
	return nil
}

// run always ends with an error, errStopped if all is well.
func (p *plane) run() error {
	began := time.Now()
	if err := p.startServer(); err != nil {
		return err
	}
	if err := p.startRest(); err != nil {
		return err
	}
	err := printReady(map[string]any{
		"kubeconfig": p.kubeconfig, "server": p.server, "ca": p.creds.caFile, "users": p.creds.tokens,
		"registry": p.registry, "request_log": filepath.Join(p.dir, "registry", "requests.jsonl"),
		"audit_log": p.audit, "dir": p.dir, "started_in_ms": time.Since(began).Milliseconds(),
	})
	if err != nil {
		return err
	}
	return <-p.stop
}

func newPlane(args []string) (*plane, error) {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of data and logs; empty or new")
	nodes := flags.Int("nodes", 1, "number of fake nodes")
	stages := flags.String("stages", "", "file of further kwok stages")
	ephemeral := flags.Bool("ephemeral", false, "delete DIR at the end, unless it is a failure")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *dir == "" {
		return nil, errors.New("up needs --dir")
	}
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		return nil, err
	}
	creds, err := writeCredentials(filepath.Join(absolute, "credentials"))
	if err != nil {
		return nil, err
	}
	children, err := newSupervisor(absolute)
	if err != nil {
		return nil, err
	}
	p := &plane{supervisor: children, creds: creds, nodes: *nodes, stages: *stages, ephemeral: *ephemeral}
	p.watchForTheEnd()
	return p, p.choosePlaces()
}

func (p *plane) choosePlaces() error {
	addresses, err := freeAddresses(4)
	if err != nil {
		return err
	}
	p.etcd, p.etcdPeers, p.registry = addresses[0], addresses[1], addresses[2]
	p.server = "https://" + addresses[3]
	p.kubeconfig = filepath.Join(p.dir, "kubeconfig")
	p.audit = filepath.Join(p.dir, "audit.jsonl")
	if p.api, err = newAPI(p.server, p.creds); err != nil {
		return err
	}
	return p.creds.writeKubeconfig(p.kubeconfig, p.server, "admin")
}

// watchForTheEnd makes stop answer once: errStopped, or which component died.
func (p *plane) watchForTheEnd() {
	p.stop = make(chan error, 1)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	stdin := stdinEnds()
	go func() {
		select {
		case <-signals:
			p.stop <- errStopped
		case <-stdin:
			p.stop <- errStopped
		case err := <-p.ended:
			p.stop <- err
		}
	}()
}

// wait polls, and gives up early when the end has come.
func (p *plane) wait(what string, done func() bool) error {
	deadline := time.Now().Add(readyWithin)
	for !done() {
		select {
		case err := <-p.stop:
			return fmt.Errorf("waiting for %s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s (logs in %s)", what, readyWithin, p.dir)
		}
	}
	return nil
}

func (p *plane) startServer() error {
	policy := filepath.Join(p.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	err := p.start("etcd", "--dir", filepath.Join(p.dir, "etcd"), "--client", p.etcd, "--peer", p.etcdPeers)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(p.server, "https://"))
	if err != nil {
		return err
	}
	err = p.start("kube-apiserver",
		"--etcd-servers=http://"+p.etcd,
		"--bind-address="+host, "--secure-port="+port, "--advertise-address="+host,
		"--endpoint-reconciler-type=none", // loopback is no legal endpoint
		"--tls-cert-file="+p.creds.certFile, "--tls-private-key-file="+p.creds.keyFile,
		"--token-auth-file="+p.creds.tokenFile, "--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+p.creds.accountKey,
		"--service-account-signing-key-file="+p.creds.accountKey,
		"--service-cluster-ip-range=10.96.0.0/12", "--allow-privileged",
		"--audit-policy-file="+policy, "--audit-log-path="+p.audit, "--audit-log-mode=blocking", "--audit-log-maxsize=4096")
	if err != nil {
		return err
	}
	err = p.start("registry", "--dir", filepath.Join(p.dir, "registry"), "--address", p.registry)
	if err != nil {
		return err
	}
	return p.wait("kube-apiserver", p.api.answers("/livez"))
}

// startRest starts what would only retry, slowly, before the server answers.
func (p *plane) startRest() error {
	if err := p.startControllers(); err != nil {
		return err
	}
	if err := p.startNodes(); err != nil {
		return err
	}
	definitions := filepath.Join(filepath.Dir(p.program), "gateway-api")
	if err := p.api.createDefinitions(definitions); err != nil {
		return err
	}
	waits := []struct {
		what string
		done func() bool
	}{
		{"readiness", p.api.answers("/readyz")},
		{"nodes", p.api.nodesReady(p.nodes)},
		{"service account default/default", p.api.answers("/api/v1/namespaces/default/serviceaccounts/default")},
		{"Gateway API", p.api.answers("/apis/gateway.networking.k8s.io/v1/httproutes")},
	}
	for _, each := range waits {
		if err := p.wait(each.what, each.done); err != nil {
			return err
		}
	}
	return nil
}

func (p *plane) startControllers() error {
	manager, err := p.kubeconfigOf("system:kube-controller-manager")
	if err != nil {
		return err
	}
	err = p.start("kube-controller-manager",
		"--kubeconfig="+manager, "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=1000", // 3 s of the start-up otherwise
		"--service-account-private-key-file="+p.creds.accountKey, "--root-ca-file="+p.creds.caFile)
	if err != nil {
		return err
	}
	scheduler, err := p.kubeconfigOf("system:kube-scheduler")
	if err != nil {
		return err
	}
	return p.start("kube-scheduler",
		"--kubeconfig="+scheduler, "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=1000")
}

func (p *plane) startNodes() error {
	stages := append(fateStages(), nodefast.DefaultNodeInit, nodelease.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete)
	file := filepath.Join(p.dir, "stages.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(stages, "\n---\n")), 0o600); err != nil {
		return err
	}
	kubeconfig, err := p.kubeconfigOf("kwok")
	if err != nil {
		return err
	}
	args := []string{"--kubeconfig", kubeconfig, "--manage-all-nodes", "--node-lease-duration-seconds=40", "--config", file}
	if p.stages != "" {
		args = append(args, "--config", p.stages)
	}
	if err := p.start("kwok", args...); err != nil {
		return err
	}
	for index := range p.nodes {
		if err := p.api.createNode(fmt.Sprintf("node-%d", index)); err != nil {
			return err
		}
	}
	return nil
}

func (p *plane) kubeconfigOf(user string) (string, error) {
	path := filepath.Join(p.dir, "credentials", strings.ReplaceAll(user, ":", "-")+".kubeconfig")
	return path, p.creds.writeKubeconfig(path, p.server, user)
}
