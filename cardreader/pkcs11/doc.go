// Package pkcs11 finds and uses credentials through a PKCS #11 module (OASIS
// PKCS #11 Cryptographic Token Interface, 2.40 and 3.x), for cards without a
// driver of this project: OpenSC's module and those that card issuers hand out.
//
// A module is foreign code with the rights of its process, and may crash, hang or
// answer nonsense. It therefore runs in a process of its own, made for one
// request and ended after it:
//
//	Module ── starts Host, writes one request ──> Serve ── loads the module,
//	   <─── one answer, or a deadline, or a crash ──┘       one login, one signature
//
// That also ends all copies of the PIN that the module made, and every login.
//
// Left out: PIN management (C_SetPIN, C_InitPIN), keys that cannot sign,
// certificates that carry no usage for a citizen, and hotplug events.
package pkcs11
