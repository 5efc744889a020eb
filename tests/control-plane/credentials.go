package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// users and the groups they are in. The components are in system:masters, so
// that none waits for its bootstrap roles; the audit log still tells them
// apart. The last three have no rights but those a test binds.
var users = []struct{ name, group string }{
	{"admin", "system:masters"},
	{"system:kube-controller-manager", "system:masters"},
	{"system:kube-scheduler", "system:masters"},
	{"kwok", "system:masters"},
	{"toolforge", ""},
	{"maintainer", ""},
	{"intruder", ""},
}

// credentials are files in one directory, and what they hold where we need it.
type credentials struct {
	authority  []byte // PEM
	caFile     string
	certFile   string
	keyFile    string
	accountKey string // signs service account tokens
	tokenFile  string
	tokens     map[string]string
}

func writeCredentials(dir string) (*credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	c := &credentials{
		caFile: in("ca.crt"), certFile: in("server.crt"), keyFile: in("server.key"),
		accountKey: in("service-accounts.key"), tokenFile: in("tokens.csv"),
		tokens: map[string]string{},
	}
	if err := c.writeCertificates(); err != nil {
		return nil, err
	}
	if _, err := newKey(c.accountKey); err != nil {
		return nil, err
	}
	return c, c.writeTokens()
}

func (c *credentials) writeTokens() error {
	var lines strings.Builder
	for _, user := range users {
		c.tokens[user.name] = rand.Text()
		fmt.Fprintf(&lines, "%s,%s,%s", c.tokens[user.name], user.name, user.name)
		if user.group != "" {
			fmt.Fprintf(&lines, ",%q", user.group)
		}
		lines.WriteString("\n")
	}
	return os.WriteFile(c.tokenFile, []byte(lines.String()), 0o600)
}

// writeCertificates makes an authority and the server's certificate. Elliptic
// keys, because making RSA keys would be a fifth of the whole start.
func (c *credentials) writeCertificates() error {
	authority := certificate("control-plane-ca")
	authority.IsCA = true
	authority.KeyUsage |= x509.KeyUsageCertSign
	authorityKey, err := newKey("")
	if err != nil {
		return err
	}
	if c.authority, err = sign(authority, authority, authorityKey, authorityKey); err != nil {
		return err
	}
	server := certificate("kube-apiserver")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	server.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	serverKey, err := newKey(c.keyFile)
	if err != nil {
		return err
	}
	signed, err := sign(server, authority, serverKey, authorityKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.caFile, c.authority, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.certFile, signed, 0o600)
}

func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(7 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
}

func sign(what, by *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, what, by, key.Public(), signer)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// newKey makes a key, and writes it when a path is given.
func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil || path == "" {
		return key, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// writeKubeconfig has one context per user, named as the user.
func (c *credentials) writeKubeconfig(path, server, current string) error {
	file := clientcmdapi.NewConfig()
	file.Clusters["tests"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.authority}
	for user, token := range c.tokens {
		file.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
		file.Contexts[user] = &clientcmdapi.Context{Cluster: "tests", AuthInfo: user, Namespace: "default"}
	}
	file.CurrentContext = current
	return clientcmd.WriteToFile(*file, path)
}
