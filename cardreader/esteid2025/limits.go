package esteid2025

import "time"

// keyTimeout bounds a command with a private key.
const keyTimeout = 30 * time.Second
