package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// encode and decode are the only way in and out of a record; the databases seal
// what encode gives.
func encode(record any) ([]byte, error) {
	data, err := json.Marshal(record)
	if keeps, ok := record.(keeper); ok && err == nil && keeps.Members() != "" {
		data, err = withMembers(data, keeps.Members())
	}
	if err != nil {
		return nil, fmt.Errorf("encoding record: %w", err)
	}
	return data, nil
}

func decode[T any](data []byte) (*T, error) {
	record := new(T)
	keeps, ok := any(record).(keeper)
	if ok {
		strict := json.NewDecoder(bytes.NewReader(data))
		strict.DisallowUnknownFields()
		if strict.Decode(record) == nil {
			return record, nil
		}
		record = new(T) // a member is unknown, or the record is damaged
		keeps = any(record).(keeper)
	}
	err := json.Unmarshal(data, record)
	if ok && err == nil {
		err = keepUnknown(keeps, data)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding record: %w", err)
	}
	return record, nil
}

// next is the transaction as it is after a step: with the next revision.
func next(t *brokers.Transaction) ([]byte, error) {
	after := *t
	after.Revision++
	return encode(&after)
}

// assertionHash names an assertion in bounded space. The separator cannot occur
// in an issuer, which is a URI.
func assertionHash(issuer, id string) [sha256.Size]byte {
	return sha256.Sum256([]byte(issuer + "\x00" + id))
}

// participant is what a grant says of its client's part in a session.
func participant(g *brokers.Grant) brokers.Participant {
	return brokers.Participant{ClientID: g.Request.ClientID, SessionID: g.SessionID, Subject: g.Subject}
}

func millis(t time.Time) int64 { return t.UnixMilli() }
