/* Records what a program writes below one folder, in order: preload it (LD_PRELOAD) into every process of a run.
 *
 * POWER_CUT_ROOT: the folder, as a real path. POWER_CUT_LOG: the file to append records to, outside of the folder.
 * A record is one `write` to a file opened with O_APPEND, so those of several processes never mix.
 * A write is recorded after it was done, the beginning of an fsync before and its end after it was done: what a record
 * order proves to be durable was durable. Linux only; see `recording.py` for the format's reader. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, SYNC_BEGIN, SYNC_END, LINK, UNLINK, RENAME, UNSUPPORTED };

struct record {
    uint32_t length; /* of the whole record */
    uint32_t kind;
    uint64_t inode;       /* of the file; of the folder for LINK, UNLINK, RENAME */
    uint64_t other_inode; /* LINK: what was linked; RENAME: the folder it went to */
    int64_t offset;       /* WRITE; TRUNCATE: the new size; SYNC_*: a number that pairs them; LINK: 1 for a folder */
    uint32_t name_length, other_length; /* NUL is not counted */
    /* then: name, other name (or what was written) */
};

static char root[4096];
static size_t root_length;
static int log_fd = -1;
static uint64_t next_sync;

static void start(void) {
    static int started;
    if (started)
        return;
    started = 1;
    const char *folder = getenv("POWER_CUT_ROOT"), *log = getenv("POWER_CUT_LOG");
    if (folder == NULL || log == NULL || strlen(folder) >= sizeof root)
        return;
    strcpy(root, folder);
    root_length = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd >= 0) { /* out of the way of programs that close or expect low numbers */
        int high = fcntl(log_fd, F_DUPFD_CLOEXEC, 700);
        if (high >= 0) {
            syscall(SYS_close, log_fd);
            log_fd = high;
        }
    }
}

static void append(uint32_t kind, uint64_t inode, uint64_t other_inode, int64_t offset, const char *name, size_t name_length,
                   const struct iovec *parts, int count) {
    struct iovec all[64];
    struct record head = {0, kind, inode, other_inode, offset, (uint32_t)name_length, 0};
    if (count > 60)
        abort();
    size_t payload = 0;
    for (int i = 0; i < count; i++) {
        all[i + 2] = parts[i];
        payload += parts[i].iov_len;
    }
    head.other_length = (uint32_t)payload;
    head.length = (uint32_t)(sizeof head + name_length + payload);
    all[0] = (struct iovec){&head, sizeof head};
    all[1] = (struct iovec){(void *)name, name_length};
    int saved = errno;
    long put = syscall(SYS_writev, log_fd, all, (long)count + 2);
    if (put != (long)head.length)
        abort(); /* a recording with a gap proves nothing */
    errno = saved;
}

/* Whether a descriptor is a file or folder below the root; then its path (within `buffer`) and its inode. */
static const char *below(int fd, char *buffer, uint64_t *inode) {
    char link[40];
    start();
    if (log_fd < 0 || fd < 0 || fd == log_fd)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, 4095L);
    if (length <= 0)
        return NULL;
    buffer[length] = 0;
    if (strncmp(buffer, root, root_length) != 0 || (buffer[root_length] != '/' && buffer[root_length] != 0))
        return NULL;
    struct stat found;
    if (fstat(fd, &found) != 0)
        return NULL;
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        return NULL;
    *inode = found.st_ino;
    return buffer + root_length + (buffer[root_length] == '/');
}

/* The folder and name of a path that may not exist (yet); 0 if it is below the root or is the root's child. */
static int place(int folder_fd, const char *path, uint64_t *folder, const char **name) {
    static __thread char resolved[4096], parent[4096];
    start();
    if (log_fd < 0 || path == NULL || strlen(path) >= 4000)
        return -1;
    if (path[0] != '/' && folder_fd != AT_FDCWD) {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder_fd);
        long length = syscall(SYS_readlinkat, AT_FDCWD, link, parent, 2000L);
        if (length <= 0)
            return -1;
        snprintf(parent + length, sizeof parent - (size_t)length, "/%s", path);
    } else
        strcpy(parent, path);
    size_t end = strlen(parent);
    while (end > 1 && parent[end - 1] == '/')
        parent[--end] = 0;
    char *slash = strrchr(parent, '/');
    *name = slash ? slash + 1 : parent;
    static __thread char last[512];
    snprintf(last, sizeof last, "%s", *name);
    *name = last;
    if (slash == parent)
        strcpy(parent, "/");
    else if (slash)
        *slash = 0;
    else
        strcpy(parent, ".");
    if (realpath(parent, resolved) == NULL)
        return -1;
    if (strncmp(resolved, root, root_length) != 0 || (resolved[root_length] != '/' && resolved[root_length] != 0))
        return -1;
    struct stat found;
    if (stat(resolved, &found) != 0)
        return -1;
    *folder = found.st_ino;
    return 0;
}

#define REAL(type, name, ...)                                                                                                \
    static type (*real)(__VA_ARGS__);                                                                                        \
    if (real == NULL)                                                                                                        \
    real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* -- contents ------------------------------------------------------------------------------------------------------- */

static void wrote(int fd, int64_t offset, const struct iovec *parts, int count, ssize_t done) {
    char buffer[4096];
    uint64_t inode;
    int saved = errno;
    const char *path = done > 0 ? below(fd, buffer, &inode) : NULL;
    if (path != NULL) {
        struct iovec kept[60];
        size_t left = (size_t)done;
        int used = 0;
        for (int i = 0; i < count && left > 0 && used < 60; i++) {
            size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
            kept[used++] = (struct iovec){parts[i].iov_base, part};
            left -= part;
        }
        if (offset < 0) /* where the descriptor stands now, or the end of a file opened to append */
            offset = lseek(fd, 0, SEEK_CUR) - done;
        append(WRITE, inode, 0, offset, path, strlen(path), kept, used);
    }
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t done = syscall(SYS_write, fd, data, size);
    struct iovec part = {(void *)data, size};
    wrote(fd, -1, &part, 1, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t done = syscall(SYS_writev, fd, parts, (long)count);
    wrote(fd, -1, parts, count, done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    ssize_t done = real(fd, data, size, offset);
    struct iovec part = {(void *)data, size};
    wrote(fd, offset, &part, 1, done);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
    ssize_t done = real(fd, parts, count, offset);
    wrote(fd, offset, parts, count, done);
    return done;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

static void sized(int fd, int64_t size) {
    char buffer[4096];
    uint64_t inode;
    const char *path = below(fd, buffer, &inode);
    if (path != NULL)
        append(TRUNCATE, inode, 0, size, path, strlen(path), NULL, 0);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    int result = real(fd, size);
    if (result == 0)
        sized(fd, size);
    return result;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    (void)fd, (void)mode, (void)offset, (void)length;
    errno = EOPNOTSUPP; /* programs fall back to what is recorded */
    return -1;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    (void)fd, (void)offset, (void)length;
    return EOPNOTSUPP;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    char buffer[4096];
    uint64_t inode;
    if (below(to, buffer, &inode) != NULL) {
        errno = EINVAL;
        return -1;
    }
    return real(to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, (off64_t *)offset, size); }

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t size, unsigned flags) {
    (void)from, (void)at, (void)to, (void)to_at, (void)size, (void)flags;
    errno = EXDEV;
    return -1;
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
    char buffer[4096];
    uint64_t inode;
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        const char *path = below(fd, buffer, &inode);
        size_t length = path != NULL ? strlen(path) : 0;
        if (path != NULL && (length < 4 || strcmp(path + length - 4, "-shm") != 0))
            append(UNSUPPORTED, inode, 0, 0, path, length, NULL, 0);
    }
    return real(at, size, protection, flags, fd, offset);
}
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, size, protection, flags, fd, offset);
}

/* -- what makes them durable ---------------------------------------------------------------------------------------- */

static int synced(int fd, int (*real)(int)) {
    char buffer[4096];
    uint64_t inode;
    const char *path = below(fd, buffer, &inode);
    int64_t number = 0;
    if (path != NULL) {
        number = ((int64_t)getpid() << 32) | (int64_t)__atomic_add_fetch(&next_sync, 1, __ATOMIC_RELAXED);
        append(SYNC_BEGIN, inode, 0, number, path, strlen(path), NULL, 0);
    }
    int result = real(fd);
    if (path != NULL && result == 0)
        append(SYNC_END, inode, 0, number, path, strlen(path), NULL, 0);
    return result;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return synced(fd, real);
}
int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return synced(fd, real);
}

/* -- names ---------------------------------------------------------------------------------------------------------- */

static int opened(int folder_fd, const char *path, int flags, mode_t mode) {
    uint64_t folder = 0;
    const char *name = NULL;
    int watched = (flags & (O_CREAT | O_TRUNC)) && place(folder_fd, path, &folder, &name) == 0;
    struct stat before;
    int existed = watched && fstatat(folder_fd, path, &before, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, folder_fd, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && watched) {
        struct stat now;
        if (fstat(fd, &now) == 0 && S_ISREG(now.st_mode)) {
            if (!existed) {
                append(LINK, folder, now.st_ino, 0, name, strlen(name), NULL, 0);
            } else if (flags & O_TRUNC)
                sized(fd, 0);
        }
    }
    errno = saved;
    return fd;
}

#define OPEN_MODE(flags)                                                                                                     \
    mode_t mode = 0;                                                                                                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                                   \
        va_list more;                                                                                                        \
        va_start(more, flags);                                                                                               \
        mode = (mode_t)va_arg(more, int);                                                                                    \
        va_end(more);                                                                                                        \
    }

int open(const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return opened(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return opened(folder, path, flags | O_LARGEFILE, mode);
}
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int mkdirat(int folder_fd, const char *path, mode_t mode) {
    uint64_t folder;
    const char *name;
    int watched = place(folder_fd, path, &folder, &name) == 0;
    int result = (int)syscall(SYS_mkdirat, folder_fd, path, mode);
    struct stat now;
    if (result == 0 && watched && fstatat(folder_fd, path, &now, AT_SYMLINK_NOFOLLOW) == 0)
        append(LINK, folder, now.st_ino, 1, name, strlen(name), NULL, 0);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int folder_fd, const char *path, int flags) {
    uint64_t folder;
    const char *name;
    int watched = place(folder_fd, path, &folder, &name) == 0;
    int result = (int)syscall(SYS_unlinkat, folder_fd, path, flags);
    int saved = errno;
    if (result == 0 && watched)
        append(UNLINK, folder, 0, 0, name, strlen(name), NULL, 0);
    errno = saved;
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    uint64_t from_folder = 0, to_folder = 0;
    const char *name;
    char from_name[512] = "", to_name[512] = "";
    int from_watched = place(from_fd, from, &from_folder, &name) == 0;
    if (from_watched)
        snprintf(from_name, sizeof from_name, "%s", name);
    int to_watched = place(to_fd, to, &to_folder, &name) == 0;
    if (to_watched)
        snprintf(to_name, sizeof to_name, "%s", name);
    int result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    int saved = errno;
    if (result == 0 && (from_watched || to_watched)) {
        struct iovec part = {to_name, strlen(to_name)};
        uint32_t kind = from_watched && to_watched && flags == 0 ? RENAME : UNSUPPORTED;
        append(kind, from_folder, to_folder, 0, from_name, strlen(from_name), &part, 1);
    }
    errno = saved;
    return result;
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) { return renameat2(from_fd, from, to_fd, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    uint64_t folder;
    const char *name;
    int watched = place(to_fd, to, &folder, &name) == 0;
    int result = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    struct stat now;
    if (result == 0 && watched && fstatat(to_fd, to, &now, AT_SYMLINK_NOFOLLOW) == 0)
        append(LINK, folder, now.st_ino, 0, name, strlen(name), NULL, 0);
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
