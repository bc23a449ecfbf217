// Command x509path says what Go's x509 thinks of certificate paths: a JSON object a line in, a line out, which is
// "accepted", or "refused: " and why.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type query struct {
	Leaf          []byte
	Intermediates [][]byte
	Roots         [][]byte
	Time          time.Time
	Purpose       string
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var asked query
		err := json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			err = verify(asked)
		}
		if err == nil {
			fmt.Println("accepted")
		} else {
			fmt.Printf("refused: %q\n", err.Error())
		}
	}
}

func verify(asked query) error {
	leaf, err := x509.ParseCertificate(asked.Leaf)
	if err != nil {
		return err
	}
	roots, err := pool(asked.Roots)
	if err != nil {
		return err
	}
	intermediates, err := pool(asked.Intermediates)
	if err != nil {
		return err
	}
	purpose := x509.ExtKeyUsageCodeSigning
	if asked.Purpose == "timeStamping" {
		purpose = x509.ExtKeyUsageTimeStamping
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   asked.Time,
		KeyUsages:     []x509.ExtKeyUsage{purpose},
	})
	return err
}

func pool(certificates [][]byte) (*x509.CertPool, error) {
	all := x509.NewCertPool()
	for _, der := range certificates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all.AddCert(certificate)
	}
	return all, nil
}
