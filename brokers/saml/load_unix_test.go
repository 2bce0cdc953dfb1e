//go:build unix

package saml

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hostile are the messages that cost other readers most, as forms;
// the large ones are cut off while they are read.
func hostile() map[string]string {
	good := goodAnswer().post()
	var namespaces strings.Builder
	namespaces.WriteString("<a")
	for range 2000 {
		namespaces.WriteString(` xmlns:p="urn:u"`)
	}
	namespaces.WriteString(">" + strings.Repeat("<x>", 900))
	messages := map[string]string{
		"deep":       strings.Replace(good, "<samlp:Status>", strings.Repeat("<samlp:Status>", 10_000), 1),
		"siblings":   strings.Replace(good, "<samlp:Status>", strings.Repeat("<a></a>", 20_000)+"<samlp:Status>", 1),
		"attributes": strings.Replace(good, "<samlp:Status>", "<samlp:Status"+strings.Repeat(` a=""`, 20_000)+">", 1),
		"namespaces": namespaces.String(),
		"text":       strings.Replace(good, "<samlp:Status>", strings.Repeat("x", 600_000)+"<samlp:Status>", 1),
	}
	for name, m := range messages {
		messages[name] = url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(m))}}.Encode()
	}
	return messages
}

// hostileTo is the environment variable that makes this program the sender of hostile
// messages, and says where to. What it costs to send them is then not counted for the
// broker.
const hostileTo = "EIDBRIDGE_TEST_HOSTILE_TO"

const (
	// hostiles is how many messages come at once, visitors how many honest ones do, so
	// that there are a hundred and more of them meanwhile.
	hostiles, visitors = 1000, 8
	// processors are those of the machine that the bound is about.
	processors = 2
)

func TestMain(m *testing.M) {
	if address := os.Getenv(hostileTo); address != "" {
		if err := attack(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// attack sends the forms that it reads by turns, hostiles at once, says when it does, and
// then how many answers had which status; 0 are those without an answer.
func attack(address string) error {
	var forms []string
	if err := json.NewDecoder(os.Stdin).Decode(&forms); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: hostiles}}
	answers := make(chan int)
	for i := range hostiles {
		go func() {
			status, err := post(client, address, forms[i%len(forms)])
			if err != nil {
				// The server closes the connection of one that is too large, which may be
				// seen before its answer is.
				status = 0
			}
			answers <- status
		}()
	}
	fmt.Println(begun)
	counts := map[int]int{}
	for range hostiles {
		counts[<-answers]++
	}
	return json.NewEncoder(os.Stdout).Encode(counts)
}

const begun = "begun"

func post(client *http.Client, address, form string) (status int, err error) {
	r, err := client.Post(address, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}

// attackers begins to send hostile messages. What is returned is closed when all were
// answered.
func attackers(t *testing.T, address string) (over <-chan struct{}) {
	t.Helper()
	input, err := json.Marshal(slices.Collect(maps.Values(hostile())))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), hostileTo+"="+address)
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != begun+"\n" {
		t.Fatalf("%q, %v", line, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var counts map[int]int
		if err := errors.Join(json.NewDecoder(lines).Decode(&counts), command.Wait()); err != nil {
			t.Error(err)
		}
		if n := counts[http.StatusBadRequest]; n == 0 || n+counts[0] != hostiles {
			t.Errorf("answers to hostile messages: %v", counts)
		}
	}()
	return ended
}

// TestHonestLoginsAmongHostileMessages: a thousand hostile messages at once do not
// keep honest ones waiting, and do not fill the memory.
func TestHonestLoginsAmongHostileMessages(t *testing.T) {
	const (
		slowest = 2 * time.Second // 99 of 100 honest logins
		most    = 1 << 30         // bytes
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message, _, err := ReadPOST(r)
		if err == nil {
			_, err = ValidateResponse(message, goodExpectation())
		}
		if err != nil {
			http.Error(w, string(ReasonOf(err)), http.StatusBadRequest)
		}
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: visitors}}
	honest := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(goodAnswer().post()))}}.Encode()
	if status, err := post(client, server.URL, honest); status != http.StatusOK {
		t.Fatalf("alone: %d, %v", status, err)
	}
	over := attackers(t, server.URL)
	var mu sync.Mutex
	var took []time.Duration
	var peak uint64
	visit(over, func() bool {
		began, before := time.Now(), spent()
		status, err := post(client, server.URL, honest)
		if status != http.StatusOK {
			t.Errorf("honest login: %d, %v", status, err)
			return false
		}
		// What an honest login waits for is what this program computes meanwhile. Other
		// programs on the machine make it wait longer and prove nothing, and so does a
		// machine with fewer processors.
		waited := min(time.Since(began), (spent()-before)/processors)
		mu.Lock()
		defer mu.Unlock()
		took, peak = append(took, waited), max(peak, resident())
		return true
	})
	if t.Failed() {
		return
	}
	slices.Sort(took)
	if worst := took[len(took)*99/100]; worst > slowest {
		t.Errorf("99 of 100 honest logins take up to %s", worst)
	}
	if peak > most {
		t.Errorf("%d MiB of memory", peak>>20)
	}
	t.Logf("%d honest logins, 99 of 100 within %s, half within %s, %d MiB", len(took), took[len(took)*99/100], took[len(took)/2], peak>>20)
}

// visit has visitors log in, one time after the other, until the attack is over, or they
// cannot.
func visit(over <-chan struct{}, login func() bool) {
	var all sync.WaitGroup
	for range visitors {
		all.Go(func() {
			for login() {
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	all.Wait()
	<-over
}

// spent is the processor time of this program so far.
func spent() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // never fails for this
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is the memory that the program holds, client side included.
func resident() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
