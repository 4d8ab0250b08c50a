/* The hot path of the relay, for reads that are ordinary frames, or parts of such, and nothing else.

Strategy: what a frame needs is done here in one go: `epoll_wait`, `recv`, cut, unmask, pack, `write`, `send`. It is done on the slots of the very
objects that the Python code works on, so both can take turns at any read and nothing is kept here. Whatever is not a matter of course (the handshake,
HTTP, half a head, a close, a full disk, a receiver that does not take all, an end, an error, a layer such as TLS) is handed to
Python, before anything was done or with what was done. So this file is an optimization and no more: each step says whose Python it stands for, and
without it (no C compiler where wsproxy is installed, or WSPROXY_PUREPYTHON=1) the relay does the same, only slower.

Why: three processes that share a CPU evict each other's caches, and then a frame that the interpreter records in 2 µs, when it does nothing else, costs
it 6 µs beyond a byte splice. Here it is 1.5. Figures in tests/benchmarks/README.md.

Threads: the loop's thread holds the GIL but while it waits in `epoll_wait` and in `write`. In a `write` that stalls the standby relays in its place; it
works with the Python code alone, so the buffers here stay as they are until the write returns. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef SOURCE
#define SOURCE "" /* the digest of this file, from who builds it */
#endif

#define ROUNDS 1000               /* that one call waits for, if it may for ever and nothing is Python's */
#define AT_ONCE 64                /* ready descriptors that one call can tell of, at most */
#define LARGE (64 * 1024)         /* bytes of a read from which on the next one is probably as large */
#define PACKED (512 * 1024)       /* room for a read's msgpack; very many very short frames have no room and go to Python */
#define BETWEEN 128               /* bytes of an event's msgpack that are neither of its direction's start, nor of its first byte's, nor payload */
#define PIECES 16                 /* of a read's msgpack */
#define STAYS (16 * 1024)         /* bytes of payload from which on it is not copied, where it is not masked */
#define OP_CLOSE 8
#define WEIGHED 10000000          /* nanoseconds over which it is seen how much comes */
#define MUCH 20000                /* nanoseconds a frame, in the mean, from which on it is much: 50,000 frames a second */

/* --- slots of Python's objects ---------------------------------------------------------------------------------------- */

enum { FLOW, END, RECORDER, TRACK, CUT, PACKER, STREAM, WRITER, DISK, CLASSES };

typedef struct {
    const char *name;
    int class;
    Py_ssize_t at; /* bytes from the start of an object */
} Slot;

enum {
    F_READING, F_DIR, F_RECORDER, F_HELD, F_SRC, F_DST, E_FD, R_C2S, R_S2C,
    T_CUT, T_PACKER, T_BYTES, T_DIGEST, T_STREAM, T_WRITER, C_BETWEEN, C_FRAMES, C_LENGTH, C_OFFSET, C_MASK, P_BASE, P_START,
    S_EVENTS, W_DIRECT, W_SIZE, W_DISK, K_CALL, K_INLINE, K_TAKEN, SLOTS
};

static Slot slots[SLOTS] = {
    [F_READING] = {"reading", FLOW}, [F_DIR] = {"dir", FLOW}, [F_RECORDER] = {"recorder", FLOW}, [F_HELD] = {"held", FLOW},
    [F_SRC] = {"src", FLOW}, [F_DST] = {"dst", FLOW}, [E_FD] = {"fd", END}, [R_C2S] = {"c2s", RECORDER}, [R_S2C] = {"s2c", RECORDER},
    [T_CUT] = {"_cut", TRACK}, [T_PACKER] = {"packer", TRACK}, [T_BYTES] = {"bytes", TRACK}, [T_DIGEST] = {"digest", TRACK},
    [T_STREAM] = {"_stream", TRACK}, [T_WRITER] = {"_writer", TRACK}, [C_BETWEEN] = {"between", CUT}, [C_FRAMES] = {"frames", CUT},
    [C_LENGTH] = {"_length", CUT}, [C_OFFSET] = {"_offset", CUT}, [C_MASK] = {"_mask", CUT},
    [P_BASE] = {"_base", PACKER}, [P_START] = {"_start", PACKER},
    [S_EVENTS] = {"events", STREAM}, [W_DIRECT] = {"_direct", WRITER}, [W_SIZE] = {"size", WRITER}, [W_DISK] = {"disk", WRITER},
    [K_CALL] = {"call", DISK}, [K_INLINE] = {"inline", DISK}, [K_TAKEN] = {"taken", DISK},
};

typedef struct {
    const char *at;
    Py_ssize_t size;
} Span;

/* What `prepare` was given. */
static PyTypeObject *classes[CLASSES];
static PyObject *constants;          /* keeps what the spans point to */
static Span first[256];              /* of a frame's map, by its first byte: up to the time */
static Span mask_key, plain_keys, payload_key, frame_kind, odd_kind, part_kind, time_next, offset_key, length_key, form_key;
static PyObject *take_name, *ended_name, *failed_name, *sent_name, *update_name, *ready_name;

#define SLOT(object, slot) (*(PyObject **)((char *)(object) + slots[slot].at))

static void
set(PyObject *object, int slot, PyObject *value) /* steals `value` */
{
    PyObject *old = SLOT(object, slot);
    SLOT(object, slot) = value;
    Py_XDECREF(old);
}

static int
count(PyObject *object, int slot, long long more)
{
    long long is = PyLong_AsLongLong(SLOT(object, slot));
    if (is == -1 && PyErr_Occurred())
        return -1;
    PyObject *now = PyLong_FromLongLong(is + more);
    if (now == NULL)
        return -1;
    set(object, slot, now);
    return 0;
}

/* What an object's slot holds, if that is of this class itself; borrowed, NULL if not. */
static PyObject *
part(PyObject *object, int slot, int class)
{
    PyObject *found = SLOT(object, slot);
    return found != NULL && Py_TYPE(found) == classes[class] ? found : NULL;
}

/* --- frames to msgpack: FrameStream.feed and FramePacker.pack in one -------------------------------------------------- */

/* What a FrameStream knows of the frame that is open; none is where `offset` is `length`. */
typedef struct {
    uint64_t length, offset;
    int masked;
    unsigned char mask[4];
} Open;

/* A read's msgpack: what was written of it one after the other, and long payloads where they are. */
typedef struct {
    struct iovec pieces[PIECES];
    int n;                     /* of pieces that are finished */
    unsigned char *begin;      /* of the one that is being written */
    Py_ssize_t size;           /* of all that are finished */
    Py_ssize_t events, frames; /* that it is, and that begin in it */
} Packed;

static void
finish_piece(Packed *packed, const unsigned char *from, const unsigned char *to)
{
    if (to > from)
        packed->pieces[packed->n++] = (struct iovec){(void *)from, to - from};
    packed->size += to - from;
}

/* In one. */
static PyObject *
joined(const Packed *packed)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, packed->size);
    char *to = bytes == NULL ? NULL : PyBytes_AS_STRING(bytes);
    for (int i = 0; bytes != NULL && i < packed->n; to += packed->pieces[i++].iov_len)
        memcpy(to, packed->pieces[i].iov_base, packed->pieces[i].iov_len);
    return bytes;
}

static unsigned char *
put(unsigned char *to, Span what)
{
    memcpy(to, what.at, what.size);
    return to + what.size;
}

static unsigned char *
put_number(unsigned char *to, uint64_t number, int bytes)
{
    for (int shift = 8 * bytes - 8; shift >= 0; shift -= 8)
        *to++ = (unsigned char)(number >> shift);
    return to;
}

/* As msgpack has it. */
static unsigned char *
put_unsigned(unsigned char *to, uint64_t number)
{
    if (number < 0x80)
        return put_number(to, number, 1);
    int size = number < 0x100 ? 0 : number < 0x10000 ? 1 : number >> 32 == 0 ? 2 : 3; /* the logarithm of its bytes */
    *to++ = (unsigned char)(0xcc + size);
    return put_number(to, number, 1 << size);
}

static unsigned char *
put_payload(unsigned char *to, const unsigned char *from, Py_ssize_t size, const unsigned char *mask, Packed *packed) /* `mask` may be NULL */
{
    int log = size < 0x100 ? 0 : size < 0x10000 ? 1 : 2;
    *to++ = (unsigned char)(0xc4 + log);
    to = put_number(to, (uint64_t)size, 1 << log);
    if (mask == NULL && (size < STAYS || packed->n > PIECES - 3))
        return put(to, (Span){(const char *)from, size});
    if (mask == NULL) {
        finish_piece(packed, packed->begin, to);
        finish_piece(packed, from, from + size);
        return packed->begin = to;
    }
    uint32_t once;
    memcpy(&once, mask, 4);
    uint64_t twice = (uint64_t)once << 32 | once, eight;
    Py_ssize_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&eight, from + i, 8);
        eight ^= twice;
        memcpy(to + i, &eight, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ mask[i & 3];
    return to + size;
}

/* Packs `data`, `size` bytes, into `out`, `room` bytes, and says in `open` what is open then. Returns 0 where the data may be anything but ordinary
   frames and parts of them; then `open` and `packed` are not to be used. */
static int
pack(const unsigned char *data, Py_ssize_t size, Span start, int64_t t, Open *open, unsigned char *out, Py_ssize_t room, Packed *packed)
{
    Span rest = {start.at + frame_kind.size, start.size - frame_kind.size}; /* of a map's start, behind its kind */
    Py_ssize_t at = 0, frames = 0, parts = 0;
    unsigned char *to = out, *limit = out + room;
    packed->n = packed->size = 0;
    packed->begin = out;
    if (rest.size < 0)
        return 0;
    if (open->offset < open->length && size > 0) {
        uint64_t left = open->length - open->offset;
        at = left < (uint64_t)size ? (Py_ssize_t)left : size;
        if (limit - to < start.size + BETWEEN + at)
            return 0;
        unsigned char mask[4];
        for (int i = 0; i < 4; i++)
            mask[i] = open->mask[(open->offset + i) & 3];
        to = put_number(put(put(put(to, part_kind), rest), time_next), (uint64_t)t, 8);
        to = put_unsigned(put(to, offset_key), open->offset);
        to = put_payload(put(to, payload_key), data, at, open->masked ? mask : NULL, packed);
        open->offset += at;
        if (open->offset == open->length)
            open->offset = open->length = 0;
        parts++;
    }
    while (at < size) {
        if (at + 2 > size || (data[at] & 15) == OP_CLOSE)
            return 0;
        Span head = first[data[at]];
        int masked = data[at + 1] & 0x80, form = data[at + 1] & 0x7F, wide = form < 126 ? 0 : form == 126 ? 2 : 8;
        uint64_t length = wide ? 0 : form;
        at += 2;
        if (at + wide + (masked ? 4 : 0) > size)
            return 0;
        for (int i = 0; i < wide; i++)
            length = length << 8 | data[at++];
        if (wide && length < (wide == 2 ? 126 : 0x10000))
            return 0; /* in more bytes than it needs */
        const unsigned char *mask = masked ? data + at : NULL;
        at += masked ? 4 : 0;
        Py_ssize_t here = length < (uint64_t)(size - at) ? (Py_ssize_t)length : size - at;
        int whole = (uint64_t)here == length;
        if (limit - to < start.size + head.size + BETWEEN + here)
            return 0;
        to = whole ? put(to, start) : put(put(to, odd_kind), rest);
        to = put_number(put(to, head), (uint64_t)t, 8);
        if (masked) {
            to = put(to, mask_key);
            memcpy(to, mask, 4);
            to = put(to + 4, payload_key);
        } else
            to = put(to, plain_keys);
        to = put_payload(to, data + at, here, mask, packed);
        at += here;
        frames++;
        if (!whole) {
            to = put_unsigned(put(to, length_key), length);
            to = put_unsigned(put(to, form_key), wide ? 8 * wide : 7);
            *open = (Open){.length = length, .offset = here, .masked = masked};
            if (masked)
                memcpy(open->mask, mask, 4);
        }
    }
    finish_piece(packed, packed->begin, to);
    packed->frames = frames;
    packed->events = frames + parts;
    return 1;
}

/* --- one read ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    int epoll;
    int large;   /* the last read was: the next one probably too, so it is read to where its bytes can stay */
    int dropped; /* the standby has been at work: what was ready then is told again */
    PyObject *served;
    PyObject *none; /* an empty list */
    struct epoll_event ready[AT_ONCE];
    int patient;              /* it interrupts nobody */
    int64_t since;            /* when it began to count these: */
    Py_ssize_t reads, frames; /* that were recorded here */
    Py_ssize_t read_size;
    unsigned char *in;
    unsigned char *out;
} Server;

static int64_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Of this thread, if it has that one. It is no matter if it may not. */
static void
change_policy(int from, int to)
{
    struct sched_param none = {0};
    if (sched_getscheduler(0) == from)
        sched_setscheduler(0, to, &none);
}

/* Once a round, at `t`. While much comes and streams are backed up, that is as long as a read finds two frames and more, nobody waits for the relay
   to wake up; but who is sending waits whenever it wakes up in their place, only to find the first of what they send. As SCHED_BATCH it runs when they
   have had their turn. Where three processes share two CPUs (`stream50`), that is 1.08 to 1.10 times HAProxy's frames in place of 0.96 to 1.02, at four
   fifths of the CPU a frame; beside two programs that use up both CPUs, 1.02 to 1.08 in place of 0.94 to 0.98. A relay with less to do stays as it is,
   because there it would make a frame wait until such programs have had their turn (2.6 ms in place of 0.4). Who gives the relay another policy keeps it. */
static void
weigh(Server *self, int64_t t)
{
    if (t - self->since < WEIGHED)
        return;
    int patient = self->frames >= 2 * self->reads && self->frames > (t - self->since) / MUCH;
    if (patient != self->patient)
        change_policy(patient ? SCHED_OTHER : SCHED_BATCH, patient ? SCHED_BATCH : SCHED_OTHER);
    self->patient = patient;
    self->since = t;
    self->reads = self->frames = 0;
}

/* Calls object.`name`(first, second), or with as many of these as there are. */
static int
tell(PyObject *object, PyObject *name, PyObject *first, PyObject *second)
{
    PyObject *arguments[] = {object, first, second};
    PyObject *said = PyObject_VectorcallMethod(name, arguments, first == NULL ? 1 : second == NULL ? 2 : 3, NULL);
    if (said == NULL)
        return -1;
    Py_DECREF(said);
    return 0;
}

/* Calls object.`name`([first,] number). */
static int
tell_number(PyObject *object, PyObject *name, PyObject *first, long long number)
{
    PyObject *last = PyLong_FromLongLong(number);
    if (last == NULL)
        return -1;
    int done = first == NULL ? tell(object, name, last, NULL) : tell(object, name, first, last);
    Py_DECREF(last);
    return done;
}

/* Calls writer.wrote(done, data, events, wire, t), or writer.append without `done` where that is negative. */
static int
tell_writer(PyObject *writer, Py_ssize_t done, const Packed *packed, Py_ssize_t wire, int64_t t)
{
    PyObject *data = joined(packed), *said = NULL;
    if (data != NULL && done >= 0)
        said = PyObject_CallMethod(writer, "wrote", "nOnnL", done, data, packed->events, wire, (long long)t);
    else if (data != NULL)
        said = PyObject_CallMethod(writer, "append", "OnnL", data, packed->events, wire, (long long)t);
    Py_XDECREF(data);
    if (said == NULL)
        return -1;
    Py_DECREF(said);
    return 0;
}

/* RecordingWriter.append: the write, and all that is not one is Python's. */
static int
append(PyObject *writer, PyObject *disk, const Packed *packed, Py_ssize_t wire, int64_t t)
{
    int fd = (int)PyLong_AsLong(SLOT(writer, W_DIRECT));
    if (fd < 0 || SLOT(disk, K_INLINE) != Py_True) {
        PyErr_Clear();
        return tell_writer(writer, -1, packed, wire, t);
    }
    set(disk, K_CALL, Py_NewRef(writer));
    Py_ssize_t done;
    Py_BEGIN_ALLOW_THREADS
    done = packed->n == 1 ? write(fd, packed->pieces[0].iov_base, packed->size) : writev(fd, packed->pieces, packed->n);
    Py_END_ALLOW_THREADS
    set(disk, K_CALL, Py_NewRef(Py_None));
    if (done == packed->size && SLOT(disk, K_TAKEN) == Py_False)
        return count(writer, W_SIZE, done);
    return tell_writer(writer, done < 0 ? 0 : done, packed, wire, t);
}

/* The open frame of a FrameStream, or that there is none. 0 if that is not all: half a head is pending. */
static int
read_open(PyObject *cut, Open *open)
{
    *open = (Open){0};
    if (SLOT(cut, C_BETWEEN) == Py_True)
        return 1;
    PyObject *mask = SLOT(cut, C_MASK);
    open->length = PyLong_AsUnsignedLongLong(SLOT(cut, C_LENGTH));
    open->offset = PyLong_AsUnsignedLongLong(SLOT(cut, C_OFFSET));
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    open->masked = mask != Py_None;
    if (open->masked && (!PyBytes_CheckExact(mask) || PyBytes_GET_SIZE(mask) != 4))
        return 0;
    if (open->masked)
        memcpy(open->mask, PyBytes_AS_STRING(mask), 4);
    return open->offset < open->length;
}

static int
write_open(PyObject *cut, const Open *open)
{
    PyObject *length = PyLong_FromUnsignedLongLong(open->length), *offset = PyLong_FromUnsignedLongLong(open->offset);
    PyObject *mask = open->masked ? PyBytes_FromStringAndSize((char *)open->mask, 4) : Py_NewRef(Py_None);
    if (length == NULL || offset == NULL || mask == NULL) {
        Py_XDECREF(length), Py_XDECREF(offset), Py_XDECREF(mask);
        return -1;
    }
    set(cut, C_LENGTH, length), set(cut, C_OFFSET, offset), set(cut, C_MASK, mask);
    set(cut, C_BETWEEN, Py_NewRef(open->offset == open->length ? Py_True : Py_False));
    return 0;
}

/* Track.feed of `data`, which was packed. */
static int
record(PyObject *track, PyObject *writer, PyObject *disk, PyObject *data, const Packed *packed, const Open *open, int64_t t)
{
    PyObject *cut = SLOT(track, T_CUT);
    if ((SLOT(cut, C_BETWEEN) != Py_True || open->offset < open->length) && write_open(cut, open) < 0)
        return -1;
    Py_ssize_t wire = PyBytes_GET_SIZE(data);
    PyObject *digest = SLOT(track, T_DIGEST);
    if (count(cut, C_FRAMES, packed->frames) < 0 || count(track, T_BYTES, wire) < 0)
        return -1;
    Py_INCREF(digest);
    int digested = tell(digest, update_name, data, NULL);
    Py_DECREF(digest);
    if (digested < 0 || count(SLOT(track, T_STREAM), S_EVENTS, packed->events) < 0)
        return -1;
    return append(writer, disk, packed, wire, t);
}

/* Flow.ready. Returns SERVED, TOLD if Python had a part in it, LEFT if it is for Python and nothing was done, FAILED with an exception set. */
enum { FAILED = -1, LEFT, SERVED, TOLD };

static int
serve(Server *self, PyObject *flow)
{
    PyObject *dir, *src, *dst, *recorder, *track, *cut, *packer, *writer, *disk, *start;
    Open open;
    if (SLOT(flow, F_READING) != Py_True || (src = part(flow, F_SRC, END)) == NULL || (dst = part(flow, F_DST, END)) == NULL ||
        (recorder = part(flow, F_RECORDER, RECORDER)) == NULL || (dir = SLOT(flow, F_DIR)) == NULL || !PyUnicode_Check(dir) ||
        PyUnicode_GET_LENGTH(dir) == 0)
        return LEFT;
    /* Until all is frames there is something else in the place of the track. */
    if ((track = part(recorder, PyUnicode_READ_CHAR(dir, 0) == 'c' ? R_C2S : R_S2C, TRACK)) == NULL || (cut = part(track, T_CUT, CUT)) == NULL ||
        !read_open(cut, &open) || (packer = part(track, T_PACKER, PACKER)) == NULL || SLOT(track, T_DIGEST) == NULL ||
        part(track, T_STREAM, STREAM) == NULL || (writer = part(track, T_WRITER, WRITER)) == NULL || (disk = part(writer, W_DISK, DISK)) == NULL)
        return LEFT;
    start = SLOT(packer, P_START);
    long long base = PyLong_AsLongLong(SLOT(packer, P_BASE));
    int from = (int)PyLong_AsLong(SLOT(src, E_FD)), to = (int)PyLong_AsLong(SLOT(dst, E_FD));
    if (PyErr_Occurred() || !PyBytes_CheckExact(start)) {
        PyErr_Clear();
        return LEFT;
    }

    PyObject *data = NULL;
    if (self->large && (data = PyBytes_FromStringAndSize(NULL, self->read_size)) == NULL)
        return FAILED;
    unsigned char *in = data == NULL ? self->in : (unsigned char *)PyBytes_AS_STRING(data);
    Py_ssize_t got = recv(from, in, self->read_size, 0);
    if (got <= 0)
        Py_CLEAR(data);
    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
            return SERVED;
        PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", errno, strerror(errno));
        int told = error == NULL ? -1 : tell(flow, failed_name, error, NULL);
        Py_XDECREF(error);
        return told < 0 ? FAILED : TOLD;
    }
    if (got == 0)
        return tell(flow, ended_name, NULL, NULL) < 0 ? FAILED : TOLD;
    int64_t t = now();
    if (data == NULL)
        data = PyBytes_FromStringAndSize((char *)in, got);
    else
        _PyBytes_Resize(&data, got);
    if (data == NULL)
        return FAILED;
    Span begin = {PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start)};
    Packed packed;
    self->large = got >= LARGE;
    if (!pack((unsigned char *)PyBytes_AS_STRING(data), got, begin, t - base, &open, self->out, PACKED, &packed)) {
        int told = tell_number(flow, take_name, data, t);
        Py_DECREF(data);
        return told < 0 ? FAILED : TOLD;
    }

    int served = SERVED;
    self->reads++;
    self->frames += packed.frames;
    set(flow, F_HELD, Py_NewRef(data));
    Py_INCREF(track), Py_INCREF(writer), Py_INCREF(disk); /* other threads run while it is written */
    if (record(track, writer, disk, data, &packed, &open, t) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) { /* as KeyboardInterrupt */
            Py_DECREF(track), Py_DECREF(writer), Py_DECREF(disk), Py_DECREF(data);
            return FAILED;
        }
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        PyErr_NormalizeException(&type, &error, &trace);
        PyObject *said = PyObject_CallMethod(track, "cannot", "OLO", data, (long long)t, error);
        served = said == NULL ? FAILED : TOLD;
        Py_XDECREF(said), Py_XDECREF(type), Py_XDECREF(error), Py_XDECREF(trace);
    }
    Py_DECREF(track), Py_DECREF(writer), Py_DECREF(disk);
    if (served != FAILED && SLOT(flow, F_HELD) != Py_None) { /* the standby has not sent it */
        set(flow, F_HELD, Py_NewRef(Py_None));
        Py_ssize_t sent = send(to, PyBytes_AS_STRING(data), got, MSG_NOSIGNAL);
        if (sent != got) {
            int later = sent >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
            served = tell_number(flow, sent_name, data, sent >= 0 ? sent : later ? 0 : -1) < 0 ? FAILED : TOLD;
        }
    }
    Py_DECREF(data);
    return served;
}

/* --- what is ready ------------------------------------------------------------------------------------------------------ */

/* Milliseconds to wait, rounded up, as `select.epoll` does; -1 is for ever. Less than -1 with an exception set. */
static int
milliseconds(PyObject *timeout)
{
    if (timeout == Py_None)
        return -1;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -2;
    double ms = ceil(seconds * 1000);
    return ms < 0 ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* One round of waiting and serving. Returns what is asyncio's as a new reference, NULL with an exception set; `*again` if Python had no part in it. */
static PyObject *
round_of(Server *self, int most, int wait, int *again)
{
    int found;
    *again = 0;
    Py_BEGIN_ALLOW_THREADS
    found = epoll_wait(self->epoll, self->ready, most, wait);
    Py_END_ALLOW_THREADS
    if (found < 0) {
        if (errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
        return PyErr_CheckSignals() < 0 ? NULL : Py_NewRef(self->none);
    }
    weigh(self, now());
    self->dropped = 0;
    int python = 0;
    PyObject *rest = Py_NewRef(self->none);
    for (int i = 0; i < found && !self->dropped; i++) {
        int fd = self->ready[i].data.fd, done = LEFT;
        uint32_t events = self->ready[i].events;
        PyObject *key = PyLong_FromLong(fd);
        PyObject *served = key == NULL ? NULL : PyDict_GetItemWithError(self->served, key);
        Py_XDECREF(key);
        if (served != NULL) {
            Py_INCREF(served);
            if (events == EPOLLIN && Py_TYPE(served) == classes[FLOW])
                done = serve(self, served);
            if (done == LEFT)
                done = tell_number(served, ready_name, NULL, events) < 0 ? FAILED : TOLD;
            Py_DECREF(served);
        } else if (PyErr_Occurred())
            done = FAILED;
        else {
            if (rest == self->none)
                Py_SETREF(rest, PyList_New(0));
            PyObject *one = rest == NULL ? NULL : Py_BuildValue("iI", fd, events);
            if (one == NULL || PyList_Append(rest, one) < 0)
                done = FAILED;
            Py_XDECREF(one);
        }
        if (done == FAILED) {
            Py_XDECREF(rest);
            return NULL;
        }
        python |= done != SERVED;
    }
    if (self->dropped)
        Py_SETREF(rest, Py_NewRef(self->none));
    *again = !python && !self->dropped;
    return rest;
}

PyDoc_STRVAR(poll_doc, "As `select.epoll.poll`, but what is in `served` is served, and what is returned is the rest.");

static PyObject *
Server_poll(Server *self, PyObject *const *arguments, Py_ssize_t n)
{
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "poll(timeout, maxevents)");
        return NULL;
    }
    int wait = milliseconds(arguments[0]);
    long most = PyLong_AsLong(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    most = most < 1 ? 1 : most > AT_ONCE ? AT_ONCE : most;
    for (int rounds = wait < 0 ? ROUNDS : 1;;) {
        int again;
        PyObject *rest = round_of(self, (int)most, wait, &again);
        if (rest == NULL || !again || --rounds == 0)
            return rest;
        Py_DECREF(rest);
    }
}

PyDoc_STRVAR(drop_doc, "What is just being served is told again: the standby has been at work.");

static PyObject *
Server_drop(Server *self, PyObject *Py_UNUSED(ignored))
{
    self->dropped = 1;
    Py_RETURN_NONE;
}

static PyObject *
Server_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    int epoll;
    Py_ssize_t read_size;
    PyObject *served;
    if (!PyArg_ParseTuple(arguments, "niO!:Server", &read_size, &epoll, &PyDict_Type, &served))
        return NULL;
    if (constants == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "prepare() comes first");
        return NULL;
    }
    Server *self = (Server *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    change_policy(SCHED_OTHER, SCHED_OTHER); /* a filter of system calls that kills who asks for it does so now, not under load */
    self->epoll = epoll;
    self->read_size = read_size;
    self->served = Py_NewRef(served);
    self->none = PyList_New(0);
    /* Mapped, so that no hole of the heap goes into it that connections would be kept in; a page counts from its first use on. */
    unsigned char *both = mmap(NULL, PACKED + read_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    self->out = both == MAP_FAILED ? NULL : both;
    if (self->none == NULL || self->out == NULL) {
        Py_DECREF(self);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    self->in = self->out + PACKED;
    return (PyObject *)self;
}

static int
Server_traverse(Server *self, visitproc visit, void *arg)
{
    Py_VISIT(self->served);
    Py_VISIT(self->none);
    return 0;
}

static int
Server_clear(Server *self)
{
    Py_CLEAR(self->served);
    Py_CLEAR(self->none);
    return 0;
}

static void
Server_dealloc(Server *self)
{
    PyObject_GC_UnTrack(self);
    Server_clear(self);
    if (self->out != NULL)
        munmap(self->out, PACKED + self->read_size);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef Server_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))Server_poll, METH_FASTCALL, poll_doc},
    {"drop", (PyCFunction)Server_drop, METH_NOARGS, drop_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject Server_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "wsproxy.relay.native.Server",
    .tp_doc = PyDoc_STR("Server(read_size, epoll, served): see native.pyi."),
    .tp_basicsize = sizeof(Server),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Server_new,
    .tp_traverse = (traverseproc)Server_traverse,
    .tp_clear = (inquiry)Server_clear,
    .tp_dealloc = (destructor)Server_dealloc,
    .tp_methods = Server_methods,
};

/* --- the module --------------------------------------------------------------------------------------------------------- */

/* Where objects of a class keep this slot; -1 with an exception set. */
static Py_ssize_t
offset(PyObject *class, const char *name)
{
    PyObject *member = PyObject_GetAttrString(class, name);
    if (member == NULL)
        return -1;
    Py_ssize_t at = -1;
    if (Py_TYPE(member) == &PyMemberDescr_Type && ((PyMemberDescrObject *)member)->d_member->type == T_OBJECT_EX)
        at = ((PyMemberDescrObject *)member)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%R.%s is no slot", class, name);
    Py_DECREF(member);
    return at;
}

static int
spans(PyObject *bytes, Span *to, Py_ssize_t n)
{
    if (PyTuple_GET_SIZE(bytes) != n) {
        PyErr_Format(PyExc_TypeError, "%zd of %zd byte strings", PyTuple_GET_SIZE(bytes), n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(bytes, i), (char **)&to[i].at, &to[i].size) < 0)
            return -1;
    return 0;
}

PyDoc_STRVAR(prepare_doc, "prepare(classes, first, constants): see native.pyi.");

static PyObject *
prepare(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *given, *heads, *rest;
    if (!PyArg_ParseTuple(arguments, "O!O!O!:prepare", &PyTuple_Type, &given, &PyTuple_Type, &heads, &PyTuple_Type, &rest))
        return NULL;
    Span all[256], ten[10];
    Py_ssize_t at[SLOTS];
    if (spans(heads, all, 256) < 0 || spans(rest, ten, 10) < 0)
        return NULL;
    Py_ssize_t longest = 0;
    for (int i = 0; i < 10; i++)
        longest += i < 3 || i > 5 ? ten[i].size + 8 : 0; /* the keys, and what follows them, of all kinds together */
    if (longest > BETWEEN || ten[4].size > ten[3].size || ten[5].size > ten[3].size)
        return PyErr_Format(PyExc_ValueError, "the constants are too long");
    if (PyTuple_GET_SIZE(given) != CLASSES)
        return PyErr_Format(PyExc_TypeError, "%zd of %d classes", PyTuple_GET_SIZE(given), CLASSES);
    for (int i = 0; i < SLOTS; i++)
        if ((at[i] = offset(PyTuple_GET_ITEM(given, slots[i].class), slots[i].name)) < 0)
            return NULL;
    PyObject *all_three = PyTuple_Pack(3, given, heads, rest);
    if (all_three == NULL)
        return NULL;
    Py_XSETREF(constants, all_three);
    for (int i = 0; i < CLASSES; i++)
        classes[i] = (PyTypeObject *)PyTuple_GET_ITEM(given, i);
    for (int i = 0; i < SLOTS; i++)
        slots[i].at = at[i];
    memcpy(first, all, sizeof first);
    mask_key = ten[0], plain_keys = ten[1], payload_key = ten[2], frame_kind = ten[3], odd_kind = ten[4], part_kind = ten[5];
    time_next = ten[6], offset_key = ten[7], length_key = ten[8], form_key = ten[9];
    Py_RETURN_NONE;
}

PyDoc_STRVAR(pack_doc, "pack(data, cut, start, t): see native.pyi.");

static PyObject *
pack_alone(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer data, start;
    PyObject *cut;
    long long t;
    if (constants == NULL)
        return PyErr_Format(PyExc_RuntimeError, "prepare() comes first");
    if (!PyArg_ParseTuple(arguments, "y*O!y*L:pack", &data, classes[CUT], &cut, &start, &t))
        return NULL;
    PyObject *result = NULL;
    Open open;
    Packed packed;
    Py_ssize_t room = (data.len / 2 + 1) * (start.len + 2 * BETWEEN) + data.len;
    room = room > PACKED ? PACKED : room;
    unsigned char *out = PyMem_Malloc(room);
    if (out == NULL)
        PyErr_NoMemory();
    else {
        int taken = read_open(cut, &open) && pack(data.buf, data.len, (Span){start.buf, start.len}, t, &open, out, room, &packed);
        if (!taken)
            result = Py_BuildValue("ny", (Py_ssize_t)0, "");
        else if (write_open(cut, &open) == 0 && count(cut, C_FRAMES, packed.frames) == 0)
            result = Py_BuildValue("nN", packed.events, joined(&packed));
    }
    PyMem_Free(out);
    PyBuffer_Release(&data);
    PyBuffer_Release(&start);
    return result;
}

static PyMethodDef methods[] = {
    {"pack", pack_alone, METH_VARARGS, pack_doc},
    {"prepare", prepare, METH_VARARGS, prepare_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "wsproxy.relay.native",
    .m_doc = "The hot path of the relay.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_native(void)
{
    struct {
        PyObject **name;
        const char *is;
    } names[] = {
        {&take_name, "take"}, {&ended_name, "source_ended"}, {&failed_name, "source_failed"}, {&sent_name, "sent"}, {&update_name, "update"},
        {&ready_name, "ready"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((*names[i].name = PyUnicode_InternFromString(names[i].is)) == NULL)
            return NULL;
    PyObject *it = PyModule_Create(&module);
    if (it == NULL || PyType_Ready(&Server_type) < 0 || PyModule_AddObjectRef(it, "Server", (PyObject *)&Server_type) < 0 ||
        PyModule_AddStringConstant(it, "SOURCE", SOURCE) < 0) {
        Py_XDECREF(it);
        return NULL;
    }
    return it;
}
