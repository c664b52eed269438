package trust

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A peer whose certificate is in the first bundle is trusted, another is not,
// and the user's own variables count.
func TestRoots(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.pem")
	_ = os.WriteFile(empty, []byte("nothing"), 0o600)
	was := Bundles
	defer func() { Bundles = was }()
	get := func() error {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: Roots()}}}
		r, err := c.Get(srv.URL)
		if err == nil {
			_ = r.Body.Close()
		}
		return err
	}
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	Bundles = []string{filepath.Join(dir, "missing"), empty, bundle}
	if err := get(); err != nil {
		t.Error(err)
	}
	Bundles = nil
	if Roots() != nil {
		t.Error("no bundle, and yet no system pool")
	}
	if err := get(); err == nil {
		t.Error("an unknown certificate was trusted")
	}
	t.Setenv("SSL_CERT_FILE", bundle)
	if err := get(); err != nil {
		t.Error(err)
	}
	t.Setenv("SSL_CERT_DIR", dir)
	if Roots() != nil {
		t.Error("SSL_CERT_DIR is not left to Go")
	}
}
