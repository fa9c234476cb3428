/* metrics.jsonl: one object a line, written by rank 0 through the table of core/file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "trainer/internal.h"

enum { PENDING_MOST = 16 << 20 };

struct pawl_metrics {
    int fd; /* -1: not rank 0 */
    int64_t bytes;
    char path[1100];
    pawl_text pending; /* lines that could not be written yet: a disk may be full for as long as a save holds it */
};

/* A probe, or what the controller made of it. */
static int is_of_probe(const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "event"));
    return json_object_get(line, "probe") || (event && strcmp(event, "replay") == 0);
}

/* How much of text is whole lines of at most `step`; a torn last line and all behind it goes. */
static int64_t kept_bytes(const char *text, int64_t step, int64_t evaluated, int64_t probed)
{
    const char *at = text, *end;
    while ((end = strchr(at, '\n')) != NULL) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        const int64_t limit = json_object_get(line, "eval") ? evaluated : is_of_probe(line) && probed < step ? probed : step;
        const int keep = line && json_integer_value(json_object_get(line, "step")) <= limit;
        json_decref(line);
        if (!keep) break;
        at = end + 1;
    }
    return at - text;
}

static pawl_status open_cut_back(pawl_metrics *m, int64_t step, int64_t evaluated, int64_t probed)
{
    char *text = NULL;
    size_t bytes = 0;
    if (pawl_path_exists(m->path)) PAWL_TRY(pawl_file_read(m->path, SIZE_MAX / 4, &text, &bytes));
    m->bytes = text ? kept_bytes(text, step, evaluated, probed) : 0;
    pawl_free(text);
    PAWL_TRY(pawl_file_open(m->path, O_WRONLY | O_CREAT, &m->fd));
    PAWL_CHECK(pawl_fs_in_use->ftruncate(m->fd, (off_t)m->bytes) == 0, PAWL_EIO, "cannot cut %s back to %lld bytes: %s", m->path,
               (long long)m->bytes, strerror(errno));
    return PAWL_OK;
}

pawl_status pawl_metrics_open(const pawl_comm *c, const char *dir, int64_t step, int64_t evaluated, int64_t probed, pawl_metrics **out)
{
    pawl_metrics *m;
    PAWL_TRY(pawl_alloc((void **)&m, sizeof *m, "metrics"));
    m->fd = -1;
    pawl_status s = pawl_path_join(m->path, sizeof m->path, dir, "metrics.jsonl");
    if (s == PAWL_OK && c->rank == 0) s = open_cut_back(m, step, evaluated, probed);
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
    pawl_text_close(&m->pending);
    pawl_free(m);
}

static pawl_status write_pending(pawl_metrics *m)
{
    if (m->pending.bytes == 0) return PAWL_OK;
    PAWL_TRY(pawl_file_pwrite(m->fd, m->path, m->pending.data, m->pending.bytes, m->bytes));
    m->bytes += (int64_t)m->pending.bytes;
    m->pending.bytes = 0;
    return PAWL_OK;
}

/* Lines that cannot be written wait for the next one, or for the next save, which insists (pawl_metrics_sync). */
static pawl_status add_line(pawl_metrics *m, const json_t *line)
{
    const int waiting = m->pending.bytes > 0;
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(10));
    PAWL_CHECK(text, PAWL_EMEM, "no memory for a line of metrics");
    m->pending.max = PENDING_MOST;
    pawl_text_add(&m->pending, "%s\n", text);
    free(text);
    PAWL_TRY(pawl_text_status(&m->pending));
    if (write_pending(m) != PAWL_OK && !waiting)
        pawl_log(PAWL_LOG_WARN, "metrics wait in memory: %s", pawl_last_error()->what);
    return PAWL_OK;
}

pawl_status pawl_metrics_add(pawl_metrics *m, json_t *line)
{
    pawl_status s = m->fd >= 0 ? add_line(m, line) : PAWL_OK;
    json_decref(line);
    return s;
}

pawl_status pawl_metrics_sync(pawl_metrics *m)
{
    if (m->fd < 0) return PAWL_OK;
    PAWL_TRY(write_pending(m));
    return pawl_file_sync(m->fd, m->path);
}
