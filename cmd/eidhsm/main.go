// Command eidhsm holds a PKCS #11 module for eidbroker, which starts it and talks to
// it over pipes. It is of no use to people.
package main

import (
	"fmt"
	"os"

	"github.com/eidbridge/eidbridge/brokers/hsm/host"
)

func main() {
	if err := host.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "eidhsm:", err)
		os.Exit(1)
	}
}
