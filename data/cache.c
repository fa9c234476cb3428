#include "data/cache.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "core/workshop.h"
#include "data/prepared.h"

/* The entry, proven. Errors: as pawl_prepared_open. */
static pawl_status prove(pawl_entry *e)
{
    pawl_prepared p;
    const pawl_status s = pawl_prepared_open(e->path, PAWL_BY_DIGEST, &p);
    e->identity = p.identity;
    pawl_prepared_close(&p);
    return s;
}

static pawl_status move_aside(const char *path)
{
    char aside[PATH_MAX];
    const int n = snprintf(aside, sizeof aside, "%s.damaged", path);
    PAWL_CHECK(n > 0 && n < (int)sizeof aside, PAWL_EUSAGE, "path too long: %s", path);
    PAWL_TRY(pawl_dir_remove(aside));
    return pawl_file_rename(path, aside);
}

/* Only who holds the lock of the cache's folder moves an entry, and only after looking again: another job may have put
 * a whole one there meanwhile. */
static pawl_status repair(const char *folder, pawl_entry *e)
{
    int fd;
    PAWL_TRY(pawl_file_open(folder, O_RDONLY | O_DIRECTORY, &fd));
    (void)pawl_fs_in_use->flock(fd, LOCK_EX);
    pawl_status s = PAWL_OK;
    if (pawl_path_exists(e->path) && prove(e) != PAWL_OK) {
        const pawl_error why = *pawl_last_error();
        s = move_aside(e->path);
        if (s == PAWL_OK) pawl_log(PAWL_LOG_WARN, "data: prepared data were damaged and are made again: %s", why.what);
    }
    pawl_file_close(fd);
    return s;
}

/* Of two jobs the first one's entry stays. */
static pawl_status publish(const pawl_workshop *w, const char *entry)
{
    const pawl_status s = pawl_workshop_publish(w, entry);
    return s != PAWL_OK && pawl_path_exists(entry) ? PAWL_OK : s;
}

/* ---- one entry, on all ranks ---- */

typedef struct search {
    pawl_comm *c;
    const char *folder;
    const pawl_recipe *recipe;
    pawl_sources *sources;
    char key[65]; /* rank 0; "" until the sources are hashed */
    pawl_workshop shop;
    int working; /* rank 0: shop is open */
    int shared;  /* all ranks have the sources */
    struct {     /* what rank 0 tells the others */
        int stopped, found;
        pawl_entry entry;
        char shop[PATH_MAX];
    } told;
} search;

static pawl_status name_entry(search *s)
{
    pawl_digest key;
    PAWL_TRY(pawl_recipe_key(s->recipe, &key));
    PAWL_TRY(pawl_dir_make(s->folder));
    memcpy(s->key, pawl_digest_hex(key).text, sizeof s->key);
    return pawl_path_join(s->told.entry.path, sizeof s->told.entry.path, s->folder, s->key);
}

/* Finds the entry whole, or opens a workshop to make it in. */
static pawl_status find(search *s)
{
    if (!s->key[0]) PAWL_TRY(name_entry(s));
    if (pawl_path_exists(s->told.entry.path)) {
        const pawl_status proven = prove(&s->told.entry);
        s->told.found = proven == PAWL_OK;
        if (s->told.found || proven == PAWL_EMEM) return proven;
        PAWL_TRY(repair(s->folder, &s->told.entry));
        if (pawl_path_exists(s->told.entry.path)) return PAWL_OK; /* another job's: it is looked at in the next turn */
    }
    pawl_workshop_sweep(s->folder, s->key);
    PAWL_TRY(pawl_workshop_open(s->told.entry.path, &s->shop));
    s->working = 1;
    memcpy(s->told.shop, s->shop.path, sizeof s->told.shop);
    return PAWL_OK;
}

static pawl_status look(void *self)
{
    search *s = self;
    s->told.found = 0;
    s->told.shop[0] = 0;
    pawl_status status = s->key[0] ? PAWL_OK : pawl_sources_hash(s->sources);
    if (status == PAWL_OK && pawl_keep_going()) status = pawl_prepare_advise(find(s), s->folder);
    s->told.stopped = pawl_stop_asked != 0;
    return status;
}

static pawl_status deliver(void *self)
{
    const search *s = self;
    return pawl_keep_going() ? pawl_prepare_advise(publish(&s->shop, s->told.entry.path), s->folder)
                             : PAWL_OK;
}

/* Local, and safe after an error. */
static void leave_workshop(search *s)
{
    const pawl_error why = *pawl_last_error();
    if (s->working) pawl_workshop_close(&s->shop);
    s->working = 0;
    pawl_adopt_error(&why);
}

static pawl_status make(search *s)
{
    if (!s->shared) PAWL_TRY(pawl_sources_share(s->c, s->sources));
    s->shared = 1;
    PAWL_TRY(pawl_prepare(s->c, s->recipe, s->told.shop, s->folder));
    return pawl_alone(s->c, deliver, s);
}

static pawl_status give_up(const search *s)
{
    return PAWL_FAIL(PAWL_EIO,
                     "the prepared data in %s are damaged as often as they are made; check that disk, or set "
                     "dataset_prepared_path to another folder",
                     s->told.entry.path);
}

static pawl_status search_for(search *s, pawl_entry *out, int *stopped)
{
    enum {
        ATTEMPTS = 4
    }; /* two are the rule: to make it and to prove it; more after damage, or when other jobs repair it */
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        PAWL_TRY(pawl_alone(s->c, look, s));
        PAWL_TRY(pawl_bcast(s->c, &s->told, sizeof s->told, 0));
        *stopped = s->told.stopped;
        if (s->told.found && !s->told.stopped) *out = s->told.entry;
        if (s->told.found || s->told.stopped) return PAWL_OK;
        if (!s->told.shop[0]) continue;
        const pawl_status made = make(s);
        leave_workshop(s);
        PAWL_TRY(made);
    }
    return pawl_agree(s->c, s->c->rank == 0 ? give_up(s) : PAWL_OK);
}

pawl_status pawl_cache_get(pawl_comm *c, const char *folder, const pawl_recipe *r, pawl_sources *sources,
                           pawl_entry *out, int *stopped)
{
    search *s;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&s, sizeof *s, "looking for prepared data")));
    *s = (search){.c = c, .folder = folder, .recipe = r, .sources = sources};
    const pawl_status status = search_for(s, out, stopped);
    leave_workshop(s);
    pawl_free(s);
    return status;
}
