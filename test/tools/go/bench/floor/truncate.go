package main

import (
	"syscall"
	"unsafe"
)

// truncate is recv(2) with MSG_TRUNC, which drops bytes of a TCP connection without a copy (tcp(7)).
func truncate(descriptor int, length int64) (int, error) {
	var nothing byte
	count, _, failure := syscall.Syscall6(
		syscall.SYS_RECVFROM, uintptr(descriptor), uintptr(unsafe.Pointer(&nothing)), uintptr(min(length, 16<<20)),
		syscall.MSG_TRUNC, 0, 0,
	)
	if failure != 0 {
		return 0, failure
	}
	return int(count), nil
}
