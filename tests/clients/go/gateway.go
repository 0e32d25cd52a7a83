// Package gateway asks keyward about the header of a request, as a gateway does.
package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.com/app/gen/keyward/v1"
)

// Deadline is for a check, all attempts included.
const Deadline = 500 * time.Millisecond

// A check changes nothing: it can be asked again at once.
const retries = `{
  "methodConfig": [{
    "name": [{"service": "keyward.v1.KeyCheck"}],
    "retryPolicy": {
      "maxAttempts": 3,
      "initialBackoff": "0.02s",
      "maxBackoff": "0.2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

// Connect gives a channel to "host:port", to be kept for as long as the process
// lives. It connects again by itself. Without a CA, nothing is encrypted.
func Connect(target, ca, certificate, key string) (*grpc.ClientConn, error) {
	encryption := insecure.NewCredentials()
	if ca != "" {
		config, err := tlsConfig(ca, certificate, key)
		if err != nil {
			return nil, err
		}
		encryption = credentials.NewTLS(config)
	}
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(encryption), grpc.WithDefaultServiceConfig(retries))
}

func tlsConfig(ca, certificate, key string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(ca + " holds no certificate")
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Decision is what to do with the request, and what to note of it.
type Decision struct {
	Status int // 200: pass it on; else what to answer with
	Who    *pb.Allowed
	Log    string
}

// Decide says whether a request with this header may pass.
func Decide(ctx context.Context, client pb.KeyCheckClient, header, workspace string,
	scopes []string, deadline time.Duration) Decision {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	// As it came, but no longer than what can be good. What is not UTF-8 cannot
	// be sent: the mark in its place is as bad.
	credential := strings.ToValidUTF8(header[:min(len(header), 1025)], "\uFFFD")
	response, err := client.Check(ctx, &pb.CheckRequest{
		Credential:     credential,
		Workspace:      workspace,
		RequiredScopes: scopes,
	})
	if err != nil {
		// There is no verdict. It is no denial, and must not look like one.
		return Decision{Status: 503, Log: fmt.Sprint("could not decide: ", status.Code(err))}
	}
	return ActOn(response)
}

// ActOn says what a verdict means.
func ActOn(response *pb.CheckResponse) Decision {
	switch outcome := response.GetOutcome().(type) {
	case *pb.CheckResponse_Allowed:
		return Decision{Status: 200, Who: outcome.Allowed, Log: outcome.Allowed.KeyId}
	case *pb.CheckResponse_Denied:
		denied := outcome.Denied
		// For the log alone: the client is told the status and no more.
		log := fmt.Sprint("denied: ", denied.Reason, " ", denied.KeyId)
		return Decision{Status: int(denied.HttpStatus), Log: log}
	default:
		// A newer keyward has an outcome that is not known here.
		return Decision{Status: 403, Log: "denied: unknown outcome"}
	}
}
