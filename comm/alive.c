#include "comm/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"

typedef struct process {
    int64_t id;
    uint64_t began;   /* by the kernel's clock: another process of the same number began later */
    uint64_t numbers; /* the namespace of process numbers; 0: it cannot be known */
    int machine;
} process;

struct pawl_alive {
    int ranks;
    process me;
    process of[]; /* [ranks] */
};

/* State and beginning of a process, the 3rd and the 22nd word of its line; 0 when there is none. What is in brackets is its name, which
 * may have any characters. */
static int look(int64_t id, char *state, uint64_t *began)
{
    char path[48], line[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)id);
    const int file = pawl_fs_in_use->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return errno != ENOENT; /* not to be seen is not to be gone */
    const ssize_t n = pawl_fs_in_use->pread(file, line, sizeof line - 1, 0);
    pawl_fs_in_use->close(file);
    if (n <= 0) return 0; /* it ended just now */
    line[n] = '\0';
    char *at = strrchr(line, ')');
    if (!at || !at[1] || !at[2]) return 1;
    *state = at[2];
    for (int word = 2; word < 22 && at; word++) at = strchr(at + 1, ' ');
    if (at) *began = strtoull(at, NULL, 10);
    return 1;
}

static process myself(const pawl_comm *c)
{
    struct stat numbers;
    process p = {.id = getpid(), .machine = c->machine};
    char state = 0;
    if (look(p.id, &state, &p.began) && state && stat("/proc/self/ns/pid", &numbers) == 0) p.numbers = numbers.st_ino;
    return p;
}

pawl_status pawl_alive_open(pawl_comm *c, pawl_alive **out)
{
    pawl_alive *a;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&a, sizeof *a + (size_t)c->size * sizeof *a->of, "the processes of ranks")));
    a->ranks = c->size;
    a->me = myself(c);
    const pawl_status s = pawl_allgather(c, &a->me, sizeof a->me, a->of);
    if (s == PAWL_OK) *out = a;
    else pawl_free(a);
    return s;
}

void pawl_alive_close(pawl_alive *a)
{
    pawl_free(a);
}

static int has_ended(const process *p)
{
    char state = 'R';
    uint64_t began = p->began;
    return !look(p->id, &state, &began) || state == 'Z' || state == 'X' || began != p->began;
}

int pawl_alive_lost(const pawl_alive *a, long *id)
{
    for (int rank = 0; rank < a->ranks; rank++) {
        const process *p = &a->of[rank];
        if (p->machine != a->me.machine || p->numbers != a->me.numbers || !p->numbers || !has_ended(p)) continue;
        *id = (long)p->id;
        return rank;
    }
    return -1;
}
