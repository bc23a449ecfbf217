import koffi, { type KoffiFunc } from 'koffi';
import { check, libc } from './libc.ts';

/** Messages of stream sockets with open files (unix(7), SCM_RIGHTS). On 64-bit Linux glibc and musl agree on the structs. */
koffi.struct('message_bytes', { base: 'void *', length: 'size_t' });
koffi.struct('message_header', {
  name: 'void *',
  nameLength: 'uint32_t',
  bytes: 'message_bytes *',
  count: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
});

type Header = {
  readonly name: null;
  readonly nameLength: 0;
  readonly bytes: readonly [{ readonly base: Buffer; readonly length: number }];
  readonly count: 1;
  readonly control: Buffer | null;
  readonly controlLength: number;
  readonly flags: 0;
};

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
/** The head of a control message, and of each file its number. */
const [headBytes, fileBytes] = [16, 4];
/** The kernel closes more files of a message than that. */
const mostFiles = 4;
const longest = 256;

const sendmsg: KoffiFunc<(socket: number, header: Header, flags: number) => number> = libc.func(
  'int64 sendmsg(int, const message_header *, int)',
);
const recvmsg: KoffiFunc<(socket: number, header: Header, flags: number) => number> = libc.func(
  'int64 recvmsg(int, _Inout_ message_header *, int)',
);

/** Sends a message, of which the receiver gets the files as its own. @throws EAGAIN rather than waiting; EPIPE. */
export function sendMessage(socket: number, text: string, files: readonly number[] = []): void {
  const length = headBytes + files.length * fileBytes;
  const control = files.length === 0 ? null : Buffer.alloc(Math.ceil(length / 8) * 8);
  control?.writeBigUInt64LE(BigInt(length), 0);
  control?.writeInt32LE(SOL_SOCKET, 8);
  control?.writeInt32LE(SCM_RIGHTS, 12);
  for (const [nth, file] of files.entries()) control?.writeInt32LE(file, headBytes + nth * fileBytes);
  check(
    sendmsg(socket, toHeader(Buffer.from(text), control), MSG_DONTWAIT | MSG_NOSIGNAL),
    'sendmsg',
    socket,
  );
}

/** Receives what is there, with its files, which are then the caller's to close; undefined at the end. @throws EAGAIN. */
export function receiveMessage(
  socket: number,
): { readonly text: string; readonly files: readonly number[] } | undefined {
  const bytes = Buffer.alloc(longest);
  const control = Buffer.alloc(headBytes + mostFiles * fileBytes);
  const length = check(
    recvmsg(socket, toHeader(bytes, control), MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
    'recvmsg',
    socket,
  );
  if (length === 0) return undefined;
  const count = Math.max(0, (Number(control.readBigUInt64LE(0)) - headBytes) / fileBytes);
  const files = Array.from({ length: count }, (_, nth) => control.readInt32LE(headBytes + nth * fileBytes));
  return { text: bytes.toString('latin1', 0, length), files };
}

function toHeader(base: Buffer, control: Buffer | null): Header {
  const bytes = [{ base, length: base.length }] as const;
  return {
    name: null,
    nameLength: 0,
    bytes,
    count: 1,
    control,
    controlLength: control?.length ?? 0,
    flags: 0,
  };
}
