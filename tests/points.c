/* A library for LD_PRELOAD that knows every call by which a program changes files, and lets it die or fail at one of them.
 *
 * Calls on files below POINTS_BELOW are counted from 1, those only whose letter is in POINTS_KINDS (see the table of calls at the
 * end). Each is told to POINTS_TOLD as a line "letter call path". At the call with the number POINTS_AT happens what POINTS_MODE says:
 *   before  the process is killed, the call is not made        after  the process is killed once the call is made
 *   torn    half of what was to be written, then killed        short  half is written, and the program is told so
 *   error   the call is not made, errno is POINTS_ERRNO; with POINTS_STICKY=1 also at all further calls, until the file
 *           POINTS_CURE is there
 * A process that forks calls points_arm() in the child, after it has changed its environment.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum deed { PASS, FAIL, HALF, KILL_AFTER, HALF_AND_KILL };

static struct {
    char below[PATH_MAX], kinds[32], mode[16], cure[PATH_MAX];
    long at, count;
    int error, sticky, told, ready;
} points;

static void copy(char *to, size_t size, const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    snprintf(to, size, "%s", value ? value : otherwise);
}

static long number(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

void points_arm(void)
{
    const char *told = getenv("POINTS_TOLD");
    copy(points.below, sizeof points.below, "POINTS_BELOW", "");
    copy(points.kinds, sizeof points.kinds, "POINTS_KINDS", "wstodmuc");
    copy(points.mode, sizeof points.mode, "POINTS_MODE", "count");
    copy(points.cure, sizeof points.cure, "POINTS_CURE", "");
    points.at = number("POINTS_AT", 0);
    points.error = number("POINTS_ERRNO", EIO);
    points.sticky = number("POINTS_STICKY", 0);
    points.count = 0;
    points.told = -1;
    if (told) { /* on a high number, so that the program gets the numbers that it would get without us */
        int handle = syscall(SYS_openat, AT_FDCWD, told, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        points.told = fcntl(handle, F_DUPFD_CLOEXEC, 500);
        syscall(SYS_close, handle);
    }
    points.ready = points.below[0] != 0;
}

__attribute__((constructor)) static void begin(void) { points_arm(); }

static int cured(void) { return points.cure[0] && syscall(SYS_faccessat, AT_FDCWD, points.cure, F_OK) == 0; }

static void tell(char kind, const char *call, const char *path)
{
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%c %s %s\n", kind, call, path);
    if (points.told >= 0 && syscall(SYS_write, points.told, line, length) < 0)
        abort();
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Count a call on a path, and say what is to be done with it. */
static enum deed meet(char kind, const char *call, const char *path)
{
    if (!points.ready || !strchr(points.kinds, kind) || strncmp(path, points.below, strlen(points.below)))
        return PASS;
    long here = __atomic_add_fetch(&points.count, 1, __ATOMIC_SEQ_CST);
    tell(kind, call, path);
    if (here != points.at && !(points.sticky && points.at && here > points.at))
        return PASS;
    if (!strcmp(points.mode, "before"))
        die();
    if (!strcmp(points.mode, "after"))
        return KILL_AFTER;
    if (!strcmp(points.mode, "torn"))
        return HALF_AND_KILL;
    if (!strcmp(points.mode, "short"))
        return HALF;
    if (strcmp(points.mode, "error") || (points.sticky && cured()))
        return PASS;
    errno = points.error;
    return FAIL;
}

static const char *of_handle(int handle, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static const char *of_name(int folder, const char *name, char *path)
{
    if (name[0] == '/')
        return name;
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            base[0] = 0;
    } else
        of_handle(folder, base);
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", base, name);
    return path;
}

static size_t half(enum deed deed, size_t size) { return (deed == HALF || deed == HALF_AND_KILL) && size > 1 ? size / 2 : size; }

#define REAL(name)                                  \
    static __typeof__(name) *real;                  \
    if (!real)                                      \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define CALL(type, name, kind, where, parameters, failed, call)     \
    type name parameters                                            \
    {                                                               \
        REAL(name);                                                 \
        char path[PATH_MAX];                                        \
        enum deed deed = meet(kind, #name, where);                  \
        if (deed == FAIL)                                           \
            return failed;                                          \
        type answer = call;                                         \
        if (deed == KILL_AFTER || deed == HALF_AND_KILL)            \
            die();                                                  \
        (void)path;                                                 \
        return answer;                                              \
    }

#define ON(handle) of_handle(handle, path)
#define AT(folder, name) of_name(folder, name, path)

#define OPEN(name, folder, parameters, call)                                        \
    int name parameters                                                             \
    {                                                                               \
        REAL(name);                                                                 \
        char path[PATH_MAX];                                                        \
        va_list rest;                                                               \
        va_start(rest, flags);                                                      \
        mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                                               \
        enum deed deed = meet(flags & (O_CREAT | O_TRUNC) ? 'o' : 'r', #name, AT(folder, file)); \
        if (deed == FAIL)                                                           \
            return -1;                                                              \
        int answer = call;                                                          \
        if (deed == KILL_AFTER || deed == HALF_AND_KILL)                            \
            die();                                                                  \
        return answer;                                                              \
    }

/* w: writing */
CALL(ssize_t, write, 'w', ON(f), (int f, const void *b, size_t n), -1, real(f, b, half(deed, n)))
CALL(ssize_t, pwrite, 'w', ON(f), (int f, const void *b, size_t n, off_t o), -1, real(f, b, half(deed, n), o))
CALL(ssize_t, pwrite64, 'w', ON(f), (int f, const void *b, size_t n, off64_t o), -1, real(f, b, half(deed, n), o))
CALL(ssize_t, writev, 'w', ON(f), (int f, const struct iovec *v, int n), -1, real(f, v, half(deed, n)))
CALL(ssize_t, pwritev, 'w', ON(f), (int f, const struct iovec *v, int n, off_t o), -1, real(f, v, half(deed, n), o))
CALL(ssize_t, sendfile, 'w', ON(f), (int f, int g, off_t *o, size_t n), -1, real(f, g, o, half(deed, n)))
CALL(ssize_t, copy_file_range, 'w', ON(g), (int f, off64_t *o, int g, off64_t *p, size_t n, unsigned x), -1,
     real(f, o, g, p, half(deed, n), x))
/* s: on the disk */
CALL(int, fsync, 's', ON(f), (int f), -1, real(f))
CALL(int, fdatasync, 's', ON(f), (int f), -1, real(f))
/* t: sizes */
CALL(int, ftruncate, 't', ON(f), (int f, off_t n), -1, real(f, n))
CALL(int, ftruncate64, 't', ON(f), (int f, off64_t n), -1, real(f, n))
CALL(int, truncate, 't', AT(AT_FDCWD, a), (const char *a, off_t n), -1, real(a, n))
CALL(int, fallocate, 't', ON(f), (int f, int x, off_t o, off_t n), -1, real(f, x, o, n))
CALL(int, posix_fallocate, 't', ON(f), (int f, off_t o, off_t n), errno, real(f, o, n))
/* o: opening to make or to empty, r: opening to read */
OPEN(open, AT_FDCWD, (const char *file, int flags, ...), real(file, flags, rights))
OPEN(open64, AT_FDCWD, (const char *file, int flags, ...), real(file, flags, rights))
OPEN(openat, folder, (int folder, const char *file, int flags, ...), real(folder, file, flags, rights))
OPEN(openat64, folder, (int folder, const char *file, int flags, ...), real(folder, file, flags, rights))
CALL(DIR *, opendir, 'r', AT(AT_FDCWD, a), (const char *a), NULL, real(a))
/* d: folders */
CALL(int, mkdir, 'd', AT(AT_FDCWD, a), (const char *a, mode_t m), -1, real(a, m))
CALL(int, mkdirat, 'd', AT(d, a), (int d, const char *a, mode_t m), -1, real(d, a, m))
CALL(int, rmdir, 'u', AT(AT_FDCWD, a), (const char *a), -1, real(a))
/* m: names */
CALL(int, rename, 'm', AT(AT_FDCWD, b), (const char *a, const char *b), -1, real(a, b))
CALL(int, renameat, 'm', AT(e, b), (int d, const char *a, int e, const char *b), -1, real(d, a, e, b))
CALL(int, renameat2, 'm', AT(e, b), (int d, const char *a, int e, const char *b, unsigned x), -1, real(d, a, e, b, x))
CALL(int, link, 'm', AT(AT_FDCWD, b), (const char *a, const char *b), -1, real(a, b))
CALL(int, linkat, 'm', AT(e, b), (int d, const char *a, int e, const char *b, int x), -1, real(d, a, e, b, x))
CALL(int, symlink, 'm', AT(AT_FDCWD, b), (const char *a, const char *b), -1, real(a, b))
/* u: taking away */
CALL(int, unlink, 'u', AT(AT_FDCWD, a), (const char *a), -1, real(a))
CALL(int, unlinkat, 'u', AT(d, a), (int d, const char *a, int x), -1, real(d, a, x))
/* c: rights and times */
CALL(int, chmod, 'c', AT(AT_FDCWD, a), (const char *a, mode_t m), -1, real(a, m))
CALL(int, fchmod, 'c', ON(f), (int f, mode_t m), -1, real(f, m))
CALL(int, fchmodat, 'c', AT(d, a), (int d, const char *a, mode_t m, int x), -1, real(d, a, m, x))
CALL(int, futimens, 'c', ON(f), (int f, const struct timespec t[2]), -1, real(f, t))
CALL(int, utimensat, 'c', AT(d, a), (int d, const char *a, const struct timespec t[2], int x), -1, real(d, a, t, x))
