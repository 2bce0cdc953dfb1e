package loadtarget_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite
)

// bare is what a login costs when nothing is wasted: a provider with code and
// PKCE and nothing else, on the same storage. It is a floor, no product.
type bare struct {
	issuer string
	signer jose.Signer
	keys   jose.JSONWebKeySet
	mu     sync.Mutex
	codes  map[string]string
	tokens map[string]bool
	// db, if not nil, keeps codes and tokens in the place of the maps.
	db                                   *sql.DB
	insert, redeem, insertToken, present *sql.Stmt
}

// serveBare is the process of a bare provider: EIDBRIDGE_BARE is "memory",
// "sqlite:FILE" or "pgx:CONNECTION".
func serveBare(storage string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	b := &bare{issuer: "http://" + l.Addr().String(), codes: map[string]string{}, tokens: map[string]bool{}}
	b.keys.Keys = []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}
	if b.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k")); err != nil {
		return err
	}
	if driver, source, ok := strings.Cut(storage, ":"); ok {
		if err := b.open(driver, source); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"issuer": b.issuer, "client_id": "bare", "client_secret": "secret", "redirect_uri": b.issuer + "/cb"}); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": b.issuer, "authorization_endpoint": b.issuer + "/a", "token_endpoint": b.issuer + "/t", "userinfo_endpoint": b.issuer + "/u", "jwks_uri": b.issuer + "/k"})
	})
	mux.HandleFunc("GET /k", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(b.keys) })
	mux.HandleFunc("GET /a", b.authorize)
	mux.HandleFunc("POST /t", b.token)
	mux.HandleFunc("GET /u", b.userinfo)
	return (&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}).Serve(l)
}

func (b *bare) open(driver, source string) (err error) {
	numbers := strings.NewReplacer()
	if driver == "pgx" {
		numbers = strings.NewReplacer("?1", "$1", "?2", "$2", "BLOB", "BYTEA")
	} else {
		source = "file:" + source + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	}
	if b.db, err = sql.Open(driver, source); err != nil {
		return err
	}
	if driver == "sqlite" {
		b.db.SetMaxOpenConns(1)
	} else {
		b.db.SetMaxOpenConns(16)
		b.db.SetMaxIdleConns(16)
	}
	for _, text := range []string{"CREATE TABLE codes (code TEXT PRIMARY KEY, data TEXT, used BIGINT NOT NULL DEFAULT 0)", "CREATE TABLE tokens (token TEXT PRIMARY KEY)"} {
		if _, err := b.db.Exec(text); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{
		{&b.insert, "INSERT INTO codes (code, data) VALUES (?1, ?2)"},
		{&b.redeem, "UPDATE codes SET used = 1 WHERE code = ?1 AND used = 0 RETURNING data"},
		{&b.insertToken, "INSERT INTO tokens (token) VALUES (?1)"},
		{&b.present, "SELECT token FROM tokens WHERE token = ?1"},
	} {
		if *s.into, err = b.db.Prepare(numbers.Replace(s.text)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) authorize(w http.ResponseWriter, r *http.Request) {
	q, code := r.URL.Query(), rand.Text()+rand.Text()
	data := q.Get("nonce") + " " + q.Get("code_challenge")
	if b.db == nil {
		b.mu.Lock()
		b.codes[code] = data
		b.mu.Unlock()
	} else if _, err := b.insert.Exec(code, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
}

func (b *bare) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	data, token := "", rand.Text()+rand.Text()
	if b.db == nil {
		b.mu.Lock()
		data = b.codes[r.FormValue("code")]
		delete(b.codes, r.FormValue("code"))
		b.tokens[token] = true
		b.mu.Unlock()
	} else {
		if err := b.redeem.QueryRow(r.FormValue("code")).Scan(&data); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, err := b.insertToken.Exec(token); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	nonce, challenge, _ := strings.Cut(data, " ")
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if id != "bare" || secret != "secret" || base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	now := time.Now().Unix()
	jws, err := b.signer.Sign(fmt.Appendf(nil, `{"iss":%q,"sub":"s","aud":"bare","nonce":%q,"iat":%d,"exp":%d}`, b.issuer, nonce, now, now+300))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	idToken, err := jws.CompactSerialize()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": idToken})
}

func (b *bare) userinfo(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	known := false
	if b.db == nil {
		b.mu.Lock()
		known = b.tokens[token]
		b.mu.Unlock()
	} else {
		known = b.present.QueryRow(token).Scan(&token) == nil
	}
	if !known {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte(`{"sub":"s"}`))
}
