package gateway

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example.com/app/gen/keyward/v1"
)

const (
	issueDeadline = 5 * time.Second // for each attempt
	attempts      = 4
)

// Issue gives a new key and its token, whatever happens to a reply on the way.
func Issue(ctx context.Context, client pb.KeyAdminClient, adminToken string,
	fields *pb.CreateKeyRequest) (*pb.CreateKeyResponse, error) {
	// One id for all attempts: the server answers each of them with the same key.
	request := proto.CloneOf(fields)
	request.RequestId = rand.Text()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+adminToken)
	for attempt := 1; ; attempt++ {
		issued, err := create(ctx, client, request)
		if err == nil || !unclear(err) || attempt == attempts {
			return issued, err
		}
		select {
		case <-time.After(100 * time.Millisecond << attempt):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func create(ctx context.Context, client pb.KeyAdminClient,
	request *pb.CreateKeyRequest) (*pb.CreateKeyResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, issueDeadline)
	defer cancel()
	return client.CreateKey(ctx, request)
}

// Whether nobody knows if the key was issued: the reply did not come.
func unclear(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// WhatWentWrong gives the reason that keyward has for an error, and the fields it
// is about. There is none if the error is not keyward's, but the connection's.
func WhatWentWrong(err error) (reason string, fields map[string]string) {
	fields = map[string]string{}
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == "keyward" {
				reason = detail.Reason
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fields[violation.Field] = violation.Description
			}
		}
	}
	return reason, fields
}
