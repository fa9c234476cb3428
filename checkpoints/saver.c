#include "checkpoints/saver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoints/find.h"
#include "checkpoints/manifest.h"
#include "core/file.h"
#include "core/log.h"

/* ---- Opening ---- */

static pawl_status list_tensors(const pawl_state *from, pawl_stored **out)
{
    pawl_stored *list;
    PAWL_TRY(pawl_alloc((void **)&list, (size_t)from->count * sizeof *list, "the list of tensors to save"));
    for (int i = 0; i < from->count; i++) {
        list[i].item = from->items[i];
        list[i].bytes = pawl_tensor_bytes(from->items[i].tensor);
        list[i].chunk_count = pawl_chunk_count(list[i].bytes);
        snprintf(list[i].file, sizeof list[i].file, "%s", PAWL_TENSOR_FILE);
    }
    qsort(list, (size_t)from->count, sizeof *list, pawl_stored_compare);
    *out = list;
    return PAWL_OK;
}

static pawl_status check_names(const pawl_saver *s)
{
    for (int i = 0; i < s->count; i++) {
        PAWL_CHECK(pawl_is_tensor_name(s->tensors[i].item.name), PAWL_EBUG,
                   "a tensor cannot be saved under the name '%s'", s->tensors[i].item.name);
        PAWL_CHECK(i == 0 || pawl_stored_compare(&s->tensors[i - 1], &s->tensors[i]) != 0, PAWL_EBUG,
                   "two tensors are to be saved under the name '%s'", s->tensors[i].item.name);
    }
    return PAWL_OK;
}

/* The folder's own name has to last, too. That of output_dir may lie in a folder that we may not read: then it is left
 * to the system. */
static pawl_status make_folder(const pawl_saver *s, const char *output_dir)
{
    char above[PATH_MAX];
    PAWL_TRY(pawl_dir_make(s->folder));
    PAWL_TRY(pawl_dir_sync(output_dir));
    PAWL_TRY(pawl_path_join(above, sizeof above, output_dir, ".."));
    if (pawl_dir_sync(above) != PAWL_OK) pawl_log(PAWL_LOG_DEBUG, "checkpoints: %s", pawl_last_error()->what);
    return PAWL_OK;
}

static pawl_status open_list(pawl_saver *s, const char *output_dir, const pawl_state *tensors)
{
    PAWL_TRY(pawl_find_folder(output_dir, s->folder, sizeof s->folder));
    if (s->comm->rank == 0) PAWL_TRY(make_folder(s, output_dir));
    PAWL_TRY(list_tensors(tensors, &s->tensors));
    s->count = tensors->count;
    return check_names(s);
}

static pawl_status open_shares(pawl_saver *s, const pawl_held *held)
{
    const int rank = s->comm->rank, size = s->comm->size;
    const int64_t chunk_count = pawl_share_number(s->tensors, s->count);
    PAWL_TRY(pawl_alloc((void **)&s->chunks, (size_t)chunk_count * sizeof *s->chunks, "the digests of a checkpoint"));
    for (int i = 0; i < s->count; i++) s->tensors[i].chunks = s->chunks + s->tensors[i].first_chunk;
    PAWL_TRY(pawl_share_open(s->tensors, s->count, 0, rank, size, held, &s->changing));
    PAWL_TRY(pawl_share_open(s->tensors, s->count, 1, rank, size, held, &s->frozen));
    s->placing_bytes = sizeof *s->placing + (size_t)s->count * sizeof *s->placing->offset;
    PAWL_TRY(pawl_alloc((void **)&s->placing, s->placing_bytes, "the layout of a checkpoint"));
    PAWL_TRY(pawl_alloc((void **)&s->votes, (size_t)size * sizeof *s->votes, "the ranks' votes"));
    s->snapshot = (pawl_arena){.name = "checkpoint snapshot", .used = s->changing.bytes};
    PAWL_TRY(pawl_arena_open(&s->snapshot));
    PAWL_TRY(pawl_snapshot_plan(s));
    PAWL_TRY(pawl_transfers_plan(s, held));
    return pawl_save_thread_open(s);
}

/* Names, types and shapes as one digest; ranks with different lists would write each other's bytes. */
static pawl_digest list_digest(const pawl_saver *s)
{
    struct link {
        char name[PAWL_NAME_MAX];
        int64_t dtype, frozen, sharded, ndim, dim[PAWL_MAX_NDIM];
        pawl_digest before;
    } link = {.before = {{0}}};
    for (int i = 0; i < s->count; i++) {
        const pawl_named *item = &s->tensors[i].item;
        memset(&link, 0, offsetof(struct link, before));
        memcpy(link.name, item->name, strlen(item->name));
        link.dtype = item->tensor.dtype;
        link.frozen = item->frozen != 0;
        link.sharded = item->sharded != 0;
        link.ndim = item->tensor.ndim;
        memcpy(link.dim, item->tensor.dim, (size_t)item->tensor.ndim * sizeof *link.dim);
        link.before = pawl_sha256(&link, sizeof link);
    }
    return link.before;
}

pawl_status pawl_saver_open(pawl_comm *c, const char *output_dir, const pawl_state *tensors, int64_t keep,
                            pawl_saver **out)
{
    pawl_saver *s = NULL;
    pawl_held *held = NULL;
    pawl_status status = pawl_alloc((void **)&s, sizeof *s, "the saver");
    if (status == PAWL_OK) {
        s->comm = c;
        s->keep = keep;
        status = open_list(s, output_dir, tensors);
    }
    status = pawl_agree(c, status);
    if (status == PAWL_OK) {
        const pawl_digest list = list_digest(s);
        status = pawl_same(c, &list, sizeof list, "the list of tensors to save");
    }
    if (status == PAWL_OK) status = pawl_held_gather(s, &held);
    if (status == PAWL_OK) status = pawl_agree(c, open_shares(s, held));
    pawl_free(held);
    if (status == PAWL_OK)
        *out = s;
    else
        pawl_saver_close(s);
    return status;
}

void pawl_saver_close(pawl_saver *s)
{
    if (!s) return;
    pawl_save_thread_close(s);
    pawl_snapshot_drop(s->device);
    pawl_free(s->loads);
    json_decref(s->run);
    json_decref(s->lineage);
    pawl_arena_close(&s->snapshot);
    pawl_share_close(&s->changing);
    pawl_share_close(&s->frozen);
    pawl_free(s->votes);
    pawl_free(s->transfers);
    pawl_free(s->sent);
    pawl_free(s->outgoing);
    pawl_free(s->edges);
    pawl_free(s->placing);
    pawl_free(s->chunks);
    pawl_free(s->tensors);
    pawl_free(s);
}

size_t pawl_saver_bytes(const pawl_comm *c, const pawl_state *tensors)
{
    pawl_stored *list;
    if (list_tensors(tensors, &list) != PAWL_OK) return 0;
    (void)pawl_share_number(list, tensors->count);
    const size_t bytes = pawl_share_bytes(list, tensors->count, 0, c->rank, c->size);
    pawl_free(list);
    return bytes;
}

/* ---- Going on from a checkpoint ---- */

static const pawl_stored *find_stored(const pawl_checkpoint *k, const pawl_stored *t)
{
    const pawl_stored *found = bsearch(t, k->tensors, (size_t)k->count, sizeof *k->tensors, pawl_stored_compare);
    if (!found || found->item.tensor.dtype != t->item.tensor.dtype || found->item.tensor.ndim != t->item.tensor.ndim)
        return NULL;
    for (int i = 0; i < t->item.tensor.ndim; i++)
        if (found->item.tensor.dim[i] != t->item.tensor.dim[i]) return NULL;
    return found;
}

/* The name of k in the saver's own folder, or "" when k lies elsewhere. */
static void name_in_folder(const pawl_saver *s, const pawl_checkpoint *k, char out[PAWL_STEP_NAME_MAX])
{
    char path[PATH_MAX], name[PAWL_STEP_NAME_MAX];
    struct stat a, b;
    pawl_step_name(k->step, name);
    const int n = snprintf(path, sizeof path, "%s/%s", s->folder, name);
    const int same = n > 0 && n < (int)sizeof path && stat(path, &a) == 0 && stat(k->path, &b) == 0 &&
                     a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    memset(out, 0, PAWL_STEP_NAME_MAX);
    if (same) memcpy(out, name, strlen(name));
}

static void hash_frozen(pawl_saver *s)
{
    const char *edge = s->edges;
    for (int i = 0; i < s->count; i++) {
        pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count; c++)
            if (pawl_share_has(&s->frozen, t, c))
                t->chunks[c] = pawl_sha256(pawl_frozen_chunk(t, c, &edge), pawl_stored_chunk_bytes(t, c));
    }
}

static pawl_status gather_digests(pawl_saver *s, pawl_share *share)
{
    pawl_share_pack(share, s->chunks);
    PAWL_TRY(pawl_allgather_blocks(s->comm, (char *)share->packed + share->offsets[share->rank], share->lengths, share->offsets,
                                   share->packed));
    pawl_share_unpack(share, s->chunks);
    return PAWL_OK;
}

static void refer_to(pawl_saver *s, const pawl_checkpoint *from, const char *step_name)
{
    for (int i = 0; i < s->count; i++) {
        pawl_stored *t = &s->tensors[i];
        const pawl_stored *there = t->item.frozen ? find_stored(from, t) : NULL;
        if (!there || memcmp(t->chunks, there->chunks, (size_t)t->chunk_count * sizeof *t->chunks) != 0) continue;
        if (pawl_stored_is_own(there))
            snprintf(t->file, sizeof t->file, "%s/%s", step_name, PAWL_TENSOR_FILE);
        else
            memcpy(t->file, there->file, sizeof t->file);
        t->offset = there->offset;
        t->digest = there->digest;
    }
}

pawl_status pawl_saver_resume(pawl_saver *s, const pawl_checkpoint *from)
{
    char step_name[PAWL_STEP_NAME_MAX] = "";
    PAWL_TRY(pawl_same(s->comm, &from->sums.root, sizeof from->sums.root, "the checkpoint to go on from"));
    s->parent = from->sums.root;
    s->has_parent = 1;
    if (s->comm->rank == 0) name_in_folder(s, from, step_name);
    PAWL_TRY(pawl_bcast(s->comm, step_name, sizeof step_name, 0));
    if (!step_name[0]) return PAWL_OK;
    PAWL_TRY(pawl_agree(s->comm, pawl_edges_copy(s)));
    PAWL_TRY(pawl_transfers(s->comm, s->transfers + s->changing_transfers, s->transfer_count - s->changing_transfers));
    hash_frozen(s);
    PAWL_TRY(gather_digests(s, &s->frozen));
    refer_to(s, from, step_name);
    return PAWL_OK;
}

/* ---- A save ---- */

/* Tensors that would refer to the file of that step (NULL: of any) are written again. */
static void forget_references(pawl_saver *s, const char *step_name)
{
    char file[PAWL_FILE_NAME_MAX];
    if (step_name) snprintf(file, sizeof file, "%s/%s", step_name, PAWL_TENSOR_FILE);
    for (int i = 0; i < s->count; i++)
        if (!step_name || strcmp(s->tensors[i].file, file) == 0)
            snprintf(s->tensors[i].file, sizeof s->tensors[i].file, "%s", PAWL_TENSOR_FILE);
}

static pawl_status take_texts(pawl_saver *s, const pawl_save *what)
{
    const int n = snprintf(s->part, sizeof s->part, "%s/%s.part", s->folder, s->step_name);
    PAWL_CHECK(n > 0 && n < (int)sizeof s->part, PAWL_EUSAGE, "path too long: %s", s->folder);
    if (s->comm->rank != 0) return PAWL_OK;
    s->run = json_deep_copy(what->run);
    s->lineage = json_deep_copy(what->lineage);
    PAWL_CHECK(s->run && s->lineage, PAWL_EMEM, "no memory for the lineage of a checkpoint");
    return PAWL_OK;
}

pawl_status pawl_save_begin(pawl_saver *s, const pawl_save *what)
{
    PAWL_CHECK(s->phase == PAWL_SAVE_IDLE, PAWL_EBUG, "a save was begun while one is under way");
    PAWL_CHECK(what->step >= 0, PAWL_EBUG, "a save was begun for step %" PRId64, what->step);
    pawl_step_name(what->step, s->step_name);
    s->begun = pawl_seconds();
    s->is_best = what->is_best;
    s->step = what->step;
    forget_references(s, s->step_name); /* a step that is saved again replaces that file */
    if (pawl_edges_copy(s) == PAWL_OK && pawl_snapshot_take(s) == PAWL_OK && take_texts(s, what) == PAWL_OK)
        pawl_save_thread_start(s, PAWL_SAVE_LAYOUT);
    else
        pawl_save_thread_fail(s, PAWL_SAVE_LAYOUT); /* all ranks hear of it at the next poll */
    return PAWL_OK;
}

pawl_status pawl_save_share(pawl_saver *s)
{
    PAWL_TRY(pawl_agree(s->comm, pawl_outgoing_copy(s)));
    return pawl_transfers(s->comm, s->transfers, s->transfer_count);
}

static pawl_status snap(pawl_saver *s)
{
    PAWL_TRY(pawl_edges_copy(s));
    PAWL_TRY(pawl_snapshot_take(s));
    return pawl_snapshot_whole(s);
}

/* Out of a snapshot of now. */
pawl_status pawl_saver_digests(pawl_saver *s, pawl_digest *weights, pawl_digest *state)
{
    pawl_sums sums = {0};
    PAWL_CHECK(s->phase == PAWL_SAVE_IDLE, PAWL_EBUG, "digests were asked for while a save is under way");
    PAWL_TRY(pawl_agree(s->comm, snap(s)));
    PAWL_TRY(pawl_save_share(s));
    const char *at = s->snapshot.base;
    for (int i = 0; i < s->count; i++) {
        pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count && !t->item.frozen; c++) {
            if (!pawl_share_has(&s->changing, t, c)) continue;
            t->chunks[c] = pawl_sha256(at, pawl_stored_chunk_bytes(t, c));
            at += pawl_stored_chunk_bytes(t, c);
        }
    }
    hash_frozen(s);
    PAWL_TRY(gather_digests(s, &s->changing));
    PAWL_TRY(gather_digests(s, &s->frozen));
    for (int i = 0; i < s->count; i++)
        s->tensors[i].digest = pawl_chunks_digest(s->tensors[i].chunks, s->tensors[i].chunk_count);
    PAWL_TRY(pawl_agree(s->comm, pawl_stored_sums(s->tensors, s->count, &sums)));
    *weights = sums.weights;
    *state = sums.state;
    return PAWL_OK;
}

int pawl_save_busy(const pawl_saver *s)
{
    return s->phase != PAWL_SAVE_IDLE;
}

static pawl_save_vote vote_of(pawl_saver *s)
{
    pthread_mutex_lock(&s->mutex);
    const pawl_save_vote vote = {s->phase, s->done};
    pthread_mutex_unlock(&s->mutex);
    return vote;
}

/* What is written next is read by the thread: nobody is through with the first phase before its copies are. */
pawl_save_vote pawl_save_vote_now(pawl_saver *s)
{
    const pawl_save_vote vote = vote_of(s);
    if (vote.phase != PAWL_SAVE_LAYOUT || vote.done != 1 || pawl_snapshot_whole(s) == PAWL_OK) return vote;
    pawl_save_thread_fail(s, PAWL_SAVE_LAYOUT);
    return vote_of(s);
}

static void end_save(pawl_saver *s)
{
    json_decref(s->run);
    json_decref(s->lineage);
    s->run = s->lineage = NULL;
    s->phase = PAWL_SAVE_IDLE;
}

/* The parts are removed now, so that a disk that filled up is not left full; what cannot be is left to the next save.
 */
static pawl_status give_up(pawl_saver *s, int failed_here)
{
    pawl_error e;
    if (failed_here) pawl_adopt_error(&s->error);
    const pawl_status status = pawl_agree(s->comm, failed_here ? s->error.code : PAWL_OK);
    e = *pawl_last_error();
    if (s->comm->rank == 0 && s->phase != PAWL_SAVE_IDLE && s->part[0] && pawl_dir_remove(s->part) != PAWL_OK)
        pawl_log(PAWL_LOG_WARN, "checkpoints: %s", pawl_last_error()->what);
    pawl_adopt_error(&e);
    if (status == PAWL_EDATA)
        forget_references(s, NULL); /* a file that was referred to is gone: the next save writes everything */
    end_save(s);
    return status;
}

static pawl_status after_layout(pawl_saver *s)
{
    PAWL_TRY(pawl_bcast(s->comm, s->placing, s->placing_bytes, 0));
    for (int i = 0; i < s->count; i++)
        if (pawl_stored_is_own(&s->tensors[i])) s->tensors[i].offset = s->placing->offset[i];
    pawl_save_thread_start(s, PAWL_SAVE_WRITE);
    return PAWL_OK;
}

static pawl_status after_write(pawl_saver *s)
{
    PAWL_TRY(gather_digests(s, &s->changing));
    PAWL_TRY(gather_digests(s, &s->frozen));
    pawl_save_thread_start(s, PAWL_SAVE_PUBLISH);
    return PAWL_OK;
}

/* What is frozen lies in a published checkpoint now. */
static uint64_t settle(pawl_saver *s)
{
    uint64_t written = 0;
    for (int i = 0; i < s->count; i++) {
        pawl_stored *t = &s->tensors[i];
        if (!pawl_stored_is_own(t)) continue;
        written += t->bytes;
        if (t->item.frozen) snprintf(t->file, sizeof t->file, "%s/%s", s->step_name, PAWL_TENSOR_FILE);
    }
    return written;
}

static pawl_status after_publish(pawl_saver *s, int *published)
{
    PAWL_TRY(pawl_bcast(s->comm, &s->sums, sizeof s->sums, 0));
    s->last.step = s->step;
    s->last.bytes_written = settle(s);
    s->last.seconds = pawl_seconds() - s->begun;
    s->last.weights = s->sums.weights;
    s->last.state = s->sums.state;
    s->last.root = s->parent = s->sums.root;
    s->has_parent = 1;
    end_save(s);
    *published = 1;
    return PAWL_OK;
}

pawl_status pawl_save_poll(pawl_saver *s, const pawl_save_vote *all, int *published)
{
    int failed = 0;
    *published = 0;
    if (s->phase == PAWL_SAVE_IDLE) return PAWL_OK;
    for (int r = 0; r < s->comm->size; r++) {
        PAWL_CHECK(all[r].phase == s->phase, PAWL_EBUG, "rank %d is in phase %d of a save, rank %d in phase %d", r,
                   all[r].phase, s->comm->rank, s->phase);
        if (all[r].done == 0) return PAWL_OK;
        failed |= all[r].done < 0;
    }
    if (failed) return give_up(s, all[s->comm->rank].done < 0);
    switch (s->phase) {
    case PAWL_SAVE_LAYOUT: return after_layout(s);
    case PAWL_SAVE_WRITE: return after_write(s);
    default: return after_publish(s, published);
    }
}

pawl_status pawl_save_finish(pawl_saver *s, double phase_seconds, int *published)
{
    *published = 0;
    while (pawl_save_busy(s)) {
        pawl_watch("saving a checkpoint", phase_seconds);
        pawl_save_thread_wait(s);
        const pawl_save_vote mine = pawl_save_vote_now(s);
        PAWL_TRY(pawl_allgather(s->comm, &mine, sizeof mine, s->votes));
        PAWL_TRY(pawl_save_poll(s, s->votes, published));
    }
    return PAWL_OK;
}

pawl_save_result pawl_save_last(const pawl_saver *s)
{
    return s->last;
}
