/* metrics.jsonl: one object a line, written by rank 0 through the table of core/file.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "trainer/internal.h"

struct pawl_metrics {
    int fd; /* -1: not rank 0 */
    int64_t bytes;
    char path[1100];
};

/* How much of text is whole lines of at most `step`; a torn last line and all behind it goes. */
static int64_t kept_bytes(const char *text, int64_t step)
{
    const char *at = text, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        const int keep = line && json_integer_value(json_object_get(line, "step")) <= step;
        json_decref(line);
        if (!keep) break;
        at = end + 1;
    }
    return at - text;
}

static pawl_status open_cut_back(pawl_metrics *m, int64_t step)
{
    char *text = NULL;
    size_t bytes = 0;
    if (pawl_path_exists(m->path)) PAWL_TRY(pawl_file_read(m->path, SIZE_MAX / 4, &text, &bytes));
    m->bytes = text ? kept_bytes(text, step) : 0;
    pawl_free(text);
    PAWL_TRY(pawl_file_open(m->path, O_WRONLY | O_CREAT, &m->fd));
    PAWL_CHECK(pawl_fs_in_use->ftruncate(m->fd, (off_t)m->bytes) == 0, PAWL_EIO, "cannot cut %s back to %lld bytes", m->path,
               (long long)m->bytes);
    return PAWL_OK;
}

pawl_status pawl_metrics_open(const pawl_comm *c, const char *dir, int64_t step, pawl_metrics **out)
{
    pawl_metrics *m;
    PAWL_TRY(pawl_alloc((void **)&m, sizeof *m, "metrics"));
    m->fd = -1;
    pawl_status s = pawl_path_join(m->path, sizeof m->path, dir, "metrics.jsonl");
    if (s == PAWL_OK && c->rank == 0) s = open_cut_back(m, step);
    if (s != PAWL_OK) {
        pawl_metrics_close(m);
        return s;
    }
    *out = m;
    return PAWL_OK;
}

void pawl_metrics_close(pawl_metrics *m)
{
    if (!m) return;
    pawl_file_close(m->fd);
    pawl_free(m);
}

pawl_status pawl_metrics_add(pawl_metrics *m, json_t *line)
{
    pawl_status s = PAWL_OK;
    if (m->fd >= 0) {
        char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(10));
        s = text ? PAWL_OK : PAWL_FAIL(PAWL_EMEM, "no memory for a line of metrics");
        if (s == PAWL_OK) {
            const size_t n = strlen(text);
            text[n] = '\n'; /* where the NUL was: one write, so a line is torn only by a crash */
            s = pawl_file_pwrite(m->fd, m->path, text, n + 1, m->bytes);
            if (s == PAWL_OK) m->bytes += (int64_t)n + 1;
        }
        free(text);
    }
    json_decref(line);
    return s;
}

pawl_status pawl_metrics_sync(pawl_metrics *m)
{
    return m->fd >= 0 ? pawl_file_sync(m->fd, m->path) : PAWL_OK;
}
