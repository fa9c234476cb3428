#include "checkpoints/verify.h"

#include <stdio.h>
#include <string.h>

#include "checkpoints/files.h"
#include "checkpoints/find.h"
#include "core/arena.h"
#include "core/file.h"

void pawl_findings_add(pawl_findings *f, const char *sentence)
{
    if (f->count++ < PAWL_FINDINGS_SHOWN) pawl_text_add(f->text, "%s\n", sentence);
}

/* What the data are to blame for is a finding; what this process lacks is an error. */
static pawl_status as_finding(pawl_findings *f, pawl_status s)
{
    if (s != PAWL_EDATA && s != PAWL_EIO) return s;
    pawl_findings_add(f, pawl_last_error()->what);
    return PAWL_OK;
}

static pawl_status verify_tensor(pawl_files *files, const pawl_stored *t, void *chunk, pawl_findings *f)
{
    if (t->chunk_count == 0) return PAWL_OK;
    pawl_status s = pawl_files_turn_to(files, t);
    if (s != PAWL_OK) return as_finding(f, s);
    for (int64_t c = 0; c < t->chunk_count; c++) PAWL_TRY(as_finding(f, pawl_files_read_chunk(files, t, c, chunk)));
    return PAWL_OK;
}

static pawl_status verify_tensors(const pawl_checkpoint *k, pawl_findings *f)
{
    void *chunk;
    pawl_files files = {.of = k};
    PAWL_TRY(pawl_alloc(&chunk, PAWL_CHUNK_BYTES, "a chunk of a checkpoint"));
    pawl_status s = PAWL_OK;
    for (int i = 0; i < k->count && s == PAWL_OK; i++) s = verify_tensor(&files, &k->tensors[i], chunk, f);
    pawl_files_close(&files);
    pawl_free(chunk);
    return s;
}

static pawl_status verify_loaded(const pawl_checkpoint *k, pawl_findings *f)
{
    PAWL_TRY(as_finding(f, pawl_files_check_layout(k)));
    PAWL_TRY(verify_tensors(k, f));
    return pawl_verify_h5(k, f);
}

static pawl_status verify_checkpoint(const char *path, pawl_findings *f, pawl_digest *root)
{
    pawl_checkpoint *k;
    memset(root, 0, sizeof *root);
    pawl_status s = pawl_manifest_load(path, &k);
    if (s != PAWL_OK) return as_finding(f, s);
    s = verify_loaded(k, f);
    *root = k->sums.root;
    pawl_checkpoint_close(k);
    return s;
}

typedef struct pointed { /* LATEST or BEST of a run */
    pawl_pointer at;
    int there, met; /* the file can be read; the checkpoint it names is there, with its digest */
} pointed;

static pawl_status read_pointed(const char *folder, const char *file, pointed *p, pawl_findings *f)
{
    pawl_status s = pawl_pointer_read(folder, file, &p->at, &p->there);
    if (s != PAWL_OK) p->there = 0;
    return as_finding(f, s);
}

static void meet(pointed *p, const char *name, pawl_digest root)
{
    if (p->there && strcmp(p->at.name, name) == 0 && pawl_digest_equal(p->at.root, root)) p->met = 1;
}

static void report_pointer(const pointed *p, const char *folder, const char *file, pawl_findings *f)
{
    char line[PATH_MAX + 256];
    if (!p->there || p->met) return;
    snprintf(line, sizeof line, "%s/%s: no whole checkpoint %s has the root digest %s that it states", folder, file,
             p->at.name, pawl_digest_hex(p->at.root).text);
    pawl_findings_add(f, line);
}

static pawl_status verify_entries(const char *folder, const pawl_entry *list, int count, pawl_findings *f)
{
    pointed latest = {.met = 0}, best = {.met = 0};
    char path[PATH_MAX];
    pawl_digest root;
    PAWL_TRY(read_pointed(folder, PAWL_LATEST_FILE, &latest, f));
    PAWL_TRY(read_pointed(folder, PAWL_BEST_FILE, &best, f));
    for (int i = 0; i < count; i++) {
        PAWL_TRY(pawl_path_join(path, sizeof path, folder, list[i].name));
        PAWL_TRY(verify_checkpoint(path, f, &root));
        meet(&latest, list[i].name, root);
        meet(&best, list[i].name, root);
    }
    report_pointer(&latest, folder, PAWL_LATEST_FILE, f);
    report_pointer(&best, folder, PAWL_BEST_FILE, f);
    return PAWL_OK;
}

static pawl_status verify_run(const char *output_dir, pawl_findings *f)
{
    char folder[PATH_MAX];
    pawl_entry *list;
    int count;
    PAWL_TRY(pawl_find_folder(output_dir, folder, sizeof folder));
    PAWL_TRY(pawl_folder_list(folder, &list, &count));
    pawl_status s = count > 0 ? verify_entries(folder, list, count, f)
                              : PAWL_FAIL(PAWL_EUSAGE, "%s: it has no checkpoint yet", folder);
    pawl_free(list);
    return s;
}

pawl_status pawl_verify(const char *path, pawl_text *findings, int *count)
{
    pawl_findings f = {.text = findings};
    pawl_digest root;
    PAWL_CHECK(pawl_path_is_dir(path), PAWL_EUSAGE, "%s: expected the folder of a checkpoint or of a run, found none",
               path);
    PAWL_TRY(pawl_find_is_run(path) ? verify_run(path, &f) : verify_checkpoint(path, &f, &root));
    if (f.count > PAWL_FINDINGS_SHOWN) pawl_text_add(findings, "%d more\n", f.count - PAWL_FINDINGS_SHOWN);
    *count = f.count;
    return pawl_text_status(findings);
}
