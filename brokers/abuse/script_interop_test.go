//go:build interop

package abuse_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidbridge/eidbridge/brokers/abuse"
)

// The script of the page finds what the server accepts (W-13, W-14), run by the
// JavaScript engine of the machine.
func TestInteropScriptSolves(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("nodejs is needed: make setup-interop")
	}
	b, ctx := newBench(t), context.Background()
	g := b.guard(abuse.Settings{ChallengeAbove: 1, Difficulty: 12})
	g.Start(ctx, home, "", "")
	c := g.Start(ctx, home, "", "").Challenge
	script, err := os.ReadFile(filepath.Join("..", "pages", "assets", "challenge.js"))
	if err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprintf(`const location = { replace: (to) => { console.log(to); process.exit(0); } };
const document = { getElementById: () => ({ dataset: { seed: %q, bits: "%d", location: "/authorize?a=b" } }) };
`, c.Seed, c.Bits)
	out, err := exec.CommandContext(ctx, node, "--input-type=module", "-e", page+string(script)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	solution, found := strings.CutPrefix(strings.TrimSpace(string(out)), "/authorize?a=b&challenge_solution=")
	if !found || solution != c.Solve() {
		t.Errorf("the script goes to %q, want the number %s", out, c.Solve())
	}
	if r := g.Start(ctx, home, c.Ticket, solution); !r.OK {
		t.Errorf("the number of the script: %+v", r)
	}
}
