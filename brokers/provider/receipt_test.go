package provider_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/eidbridge/eidbridge/brokers/provider"
	"github.com/eidbridge/eidbridge/levels"
)

var update = flag.Bool("update", false, "write the receipt that eidbroker's test reads anew")

// A receipt verifies without the broker, with the keys that it had published.
func TestReceiptVerifiesOffline(t *testing.T) {
	r := newRig(t, options{client: func(c *provider.Client) { c.LevelReceipts = true }})
	id, _ := decodeIDToken(t, r.redeem(r.login(newBrowser(t), nil, "level", "high").Get("code")))["event_id"].(string)
	text := newBrowser(t).get(r.server.URL + "/receipts/" + id).body
	published := newBrowser(t).get(r.server.URL + "/jwks").body
	if *update {
		for name, data := range map[string]string{"receipt.jwt": text + "\n", "jwks.json": published + "\n"} {
			if err := os.WriteFile("../../cmd/eidbroker/testdata/"+name, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(published), &keys); err != nil {
		t.Fatal(err)
	}
	r.server.Close()
	got, err := provider.VerifyReceipt(text+"\n", keys)
	if err != nil {
		t.Fatal(err)
	}
	if got.EventID != id || got.Level != levels.High || got.Audience != "portal" || len(got.Explanation) < 3 {
		t.Errorf("got %+v", got)
	}

	parts := strings.Split(text, ".")
	other := newRig(t, options{client: func(c *provider.Client) { c.LevelReceipts = true }})
	var foreign jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(newBrowser(t).get(other.server.URL+"/jwks").body), &foreign); err != nil {
		t.Fatal(err)
	}
	renamed := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{foreign.Keys[0]}}
	renamed.Keys[0].KeyID = keys.Keys[0].KeyID
	idToken := object(t, other.redeem(other.login(newBrowser(t), nil).Get("code")).body)["id_token"].(string)
	for name, c := range map[string]struct {
		text string
		keys jose.JSONWebKeySet
	}{
		"another broker's keys":        {text, foreign},
		"another key of the same name": {text, renamed},
		"no keys":                      {text, jose.JSONWebKeySet{}},
		"changed claims":               {parts[0] + "." + strings.ToUpper(parts[1]) + "." + parts[2], keys},
		"another signature":            {parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), keys},
		"no signature":                 {parts[0] + "." + parts[1] + ".", keys},
		"O-28 an ID token":             {idToken, foreign},
		"nothing":                      {"", keys},
	} {
		if got, err := provider.VerifyReceipt(c.text, c.keys); err == nil {
			t.Errorf("%s: %+v was believed", name, got)
		}
	}
}
