package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/eidbridge/eidbridge/brokers"
)

// signingKeys is the column of signing keys.
const signingKeys = "signing_keys.data"

// numbered is how a number is part of a place.
func numbered(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

// SigningKeys lists all, by number.
func (d *database) SigningKeys(ctx context.Context) ([]brokers.SigningKey, error) {
	rows, err := d.statements["signing keys"].QueryContext(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sealed := map[int][]byte{}
	for rows.Next() {
		var number int
		var data []byte
		if err := rows.Scan(&number, &data); err != nil {
			return nil, err
		}
		sealed[number] = data
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	// Unsealing may ask the database for data keys, so the rows come to their end first.
	var list []brokers.SigningKey
	for number, data := range sealed {
		k, err := unseal[brokers.SigningKey](ctx, d, data, signingKeys, numbered(number))
		if err != nil {
			return nil, fmt.Errorf("signing key %d: %w", number, err)
		}
		list = append(list, *k)
	}
	slices.SortFunc(list, func(a, b brokers.SigningKey) int { return cmp.Compare(a.Number, b.Number) })
	return list, nil
}

// AddSigningKey inserts one; ErrConflict if its number is taken.
func (d *database) AddSigningKey(ctx context.Context, k brokers.SigningKey) error {
	data, err := d.seal(k, signingKeys, numbered(k.Number))
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "add signing key", k.Number, data)
	return d.instead(err, brokers.ErrConflict)
}

// RemoveSigningKeys removes those of lower numbers.
func (d *database) RemoveSigningKeys(ctx context.Context, below int) error {
	_, err := d.exec(ctx, "remove signing keys", below)
	return err
}

// SigningKeys lists all, by number.
func (m *Memory) SigningKeys(context.Context) ([]brokers.SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []brokers.SigningKey
	for _, k := range m.signing {
		k.Private, k.RSA = slices.Clone(k.Private), slices.Clone(k.RSA)
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b brokers.SigningKey) int { return cmp.Compare(a.Number, b.Number) })
	return list, nil
}

// AddSigningKey inserts one; ErrConflict if its number is taken.
func (m *Memory) AddSigningKey(_ context.Context, k brokers.SigningKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.signing[k.Number]; taken {
		return brokers.ErrConflict
	}
	k.Private, k.RSA = slices.Clone(k.Private), slices.Clone(k.RSA)
	m.signing[k.Number] = k
	return nil
}

// RemoveSigningKeys removes those of lower numbers.
func (m *Memory) RemoveSigningKeys(_ context.Context, below int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for number := range m.signing {
		if number < below {
			delete(m.signing, number)
		}
	}
	return nil
}
