// Package trust loads the root certificates.
//
// Go's own pool reads the bundle file and then every file of the certificate
// directory, which on Debian holds the same certificates once more: 3 MB of
// memory for nothing. This one takes the first bundle there is.
package trust

import (
	"crypto/x509"
	"os"
)

// Bundles are the usual places of a bundle of root certificates.
var Bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, FreeBSD
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD
}

// Roots returns the roots of this machine. SSL_CERT_FILE names a bundle before
// all others; with SSL_CERT_DIR, or where there is no bundle, Go's own pool is
// used. A nil pool means just that.
func Roots() *x509.CertPool {
	if os.Getenv("SSL_CERT_DIR") != "" {
		return nil
	}
	files := Bundles
	if own := os.Getenv("SSL_CERT_FILE"); own != "" {
		files = []string{own}
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM(pem) {
			return pool
		}
	}
	return nil
}
