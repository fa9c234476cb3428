/* pawl train: open everything, decide where to start, hand over to the trainer. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "launch/launch.h"
#include "launch/report/report.h"

enum { PATH_ROOM = 1200 };

typedef struct job {
    pawl_comm *comm;
    const char *yaml;
    pawl_opened o;
    pawl_profile_config profile;
    int profiled;
    const char *until; /* the stage to end with; NULL: the last */
    pawl_trainer *trainer;
    int lock; /* of output_dir; rank 0's */
    char resume[PATH_ROOM]; /* the checkpoint to go on from; "" for none */
} job;

/* ---- the output directory (rank 0) ---- */

static pawl_status write_configuration(const job *j)
{
    char path[PATH_ROOM], *text;
    size_t bytes;
    pawl_text resolved = {0};
    PAWL_TRY(pawl_file_read(j->yaml, 1 << 20, &text, &bytes));
    pawl_status s = pawl_path_join(path, sizeof path, j->o.config.train.output_dir, "run.yaml");
    if (s == PAWL_OK) s = pawl_file_replace(path, text, bytes);
    pawl_free(text);
    if (s == PAWL_OK) s = pawl_config_yaml(&j->o.config, &resolved);
    if (s == PAWL_OK) s = pawl_path_join(path, sizeof path, j->o.config.train.output_dir, "resolved.yaml");
    if (s == PAWL_OK) s = pawl_file_replace(path, resolved.data, resolved.bytes);
    pawl_text_close(&resolved);
    return s;
}

/* `none` starts anew, and only where nothing would be overwritten. */
static pawl_status require_unused(const char *dir)
{
    char checkpoints[PATH_ROOM], newest[PATH_ROOM];
    int64_t lost;
    PAWL_TRY(pawl_path_join(checkpoints, sizeof checkpoints, dir, "checkpoints"));
    if (!pawl_path_exists(checkpoints)) return PAWL_OK;
    pawl_status s = pawl_checkpoint_find(dir, 1, newest, sizeof newest, &lost);
    PAWL_CHECK(s == PAWL_OK && !newest[0], PAWL_EUSAGE,
               "resume_from_checkpoint: none, but %s has checkpoints already: choose another output_dir, or remove it", dir);
    return PAWL_OK;
}

/* Going back by name is allowed; that later checkpoints will be replaced on the way is said. */
static pawl_status warn_of_newer(const job *j)
{
    char newest[PATH_ROOM] = "";
    int64_t lost;
    pawl_checkpoint *from, *last;
    if (pawl_checkpoint_find(j->o.config.train.output_dir, 1, newest, sizeof newest, &lost) != PAWL_OK || !newest[0]) return PAWL_OK;
    PAWL_TRY(pawl_checkpoint_open(j->resume, &from));
    const int64_t step = pawl_checkpoint_step(from);
    pawl_checkpoint_close(from);
    PAWL_TRY(pawl_checkpoint_open(newest, &last));
    if (pawl_checkpoint_step(last) > step)
        pawl_log(PAWL_LOG_WARN, "resuming from step %lld, as asked: the later checkpoints here, up to step %lld, are replaced as the run comes to them",
                 (long long)step, (long long)pawl_checkpoint_step(last));
    pawl_checkpoint_close(last);
    return PAWL_OK;
}

static pawl_status find_start(job *j)
{
    const pawl_checkpoint_config *c = &j->o.config.checkpoint;
    const char *dir = j->o.config.train.output_dir;
    int64_t lost = 0;
    if (strcmp(c->resume_from_checkpoint, "none") == 0) return require_unused(dir);
    if (strcmp(c->resume_from_checkpoint, "auto") != 0) {
        memcpy(j->resume, c->resume_from_checkpoint, sizeof c->resume_from_checkpoint);
        return warn_of_newer(j);
    }
    PAWL_TRY(pawl_checkpoint_find(dir, c->resume_fallback, j->resume, sizeof j->resume, &lost));
    if (lost > 0) pawl_log(PAWL_LOG_WARN, "resuming from %s: %lld steps are lost with the damaged checkpoints after it", j->resume, (long long)lost);
    return PAWL_OK;
}

static int same_bytes(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    const int same = pawl_file_read(a, 1 << 20, &x, &n) == PAWL_OK && pawl_file_read(b, 1 << 20, &y, &m) == PAWL_OK && n == m &&
                     memcmp(x, y, n) == 0;
    pawl_free(x);
    pawl_free(y);
    return same;
}

static const char *const own_files[] = {"metrics.jsonl", "report.html", "resolved.yaml", "run.yaml", NULL};

/* A run that is started again must not learn what it wrote itself. */
static pawl_status require_data_elsewhere(const job *j)
{
    const char *dir = j->o.config.train.output_dir, *path = pawl_dataset_around(&j->o.config, dir, own_files);
    PAWL_CHECK(!path, PAWL_EUSAGE,
               "output_dir %s lies in what a dataset reads (%s), so that the run would take its own files for data: choose another output_dir", dir, path);
    return PAWL_OK;
}

/* A folder that no run has used, which a lock file would show, but which holds files of the names that a run writes. */
static pawl_status require_no_strangers(const job *j)
{
    const char *dir = j->o.config.train.output_dir;
    char path[PATH_ROOM];
    PAWL_TRY(pawl_path_join(path, sizeof path, dir, ".lock"));
    if (pawl_path_exists(path)) return PAWL_OK;
    for (size_t i = 0; own_files[i]; i++) {
        PAWL_TRY(pawl_path_join(path, sizeof path, dir, own_files[i]));
        PAWL_CHECK(!pawl_path_exists(path) || same_bytes(path, j->yaml), PAWL_EUSAGE,
                   "%s is there already and is not of a run of pawl's: it would be overwritten; choose another output_dir", path);
    }
    return PAWL_OK;
}

static pawl_status claim_output(job *j)
{
    PAWL_TRY(require_data_elsewhere(j));
    PAWL_TRY(require_no_strangers(j));
    PAWL_TRY(pawl_dir_make(j->o.config.train.output_dir));
    PAWL_TRY(pawl_lock_open(j->o.config.train.output_dir, &j->lock));
    return find_start(j);
}

/* ---- where the weights come from ---- */

/* The run has only this place to read it from. */
static pawl_status still_there(const job *j)
{
    PAWL_CHECK(pawl_path_exists(j->o.adapter_base), PAWL_EUSAGE,
               "the base model %s is not there any more, and a stage begins by reading it: put it back and start the same command again", j->o.adapter_base);
    return pawl_check_base(j->o.base, j->o.adapter_base, j->o.config.train.output_dir);
}

/* Asked for again at stages' begins, when the files must still be those that the run began with. */
static pawl_status fill_base(void *self, pawl_frozen *base, const pawl_stack *over)
{
    const job *j = self;
    pawl_source *source;
    if (over->count) PAWL_TRY(still_there(j));
    PAWL_TRY(pawl_source_open(j->o.adapter_base, (pawl_which){NULL, 0}, j->o.model, &source));
    pawl_stacked with = {pawl_source_read, source, over};
    const pawl_status s = pawl_frozen_fill(base, pawl_stacked_read, &with);
    pawl_source_close(source);
    return s;
}

static pawl_status load_base(job *j)
{
    pawl_frozen *base = pawl_trainer_base(j->trainer);
    return base ? fill_base(j, base, &(pawl_stack){.adapter = j->o.adapter}) : PAWL_OK;
}

static pawl_status fill_adapter(const job *j, float *weights)
{
    const pawl_run_config *c = &j->o.config;
    if (c->adapter.lora_model_dir[0]) return pawl_load_adapter(c->adapter.lora_model_dir, 0, j->o.adapter, weights);
    if (j->o.adapter_goes_on) return pawl_load_adapter(c->checkpoint.parent_checkpoint, 0, j->o.adapter, weights);
    pawl_adapter_init(j->o.adapter, (uint64_t)c->train.seed, 0, weights);
    return PAWL_OK;
}

/* All of it at once, in the host's memory: adapters are small. */
static pawl_status begin_adapter(job *j)
{
    const pawl_run_config *c = &j->o.config;
    pawl_device *d = j->o.device;
    float *weights = pawl_trainer_weights(j->trainer), *room = NULL;
    const size_t bytes = (size_t)pawl_trained_count(j->o.model, j->o.adapter) * sizeof *weights;
    const int anew = !c->adapter.lora_model_dir[0] && !j->o.adapter_goes_on;
    if (!pawl_device_shares_memory(d)) PAWL_TRY(pawl_alloc((void **)&room, bytes, "an adapter"));
    float *here = pawl_host_side(d, weights, room);
    pawl_status s = fill_adapter(j, here);
    if (s == PAWL_OK) s = pawl_upload(d, weights, here, bytes);
    if (s == PAWL_OK && anew) s = pawl_adapter_measure(j->o.adapter, d, pawl_trainer_base(j->trainer), weights);
    pawl_free(room);
    return s;
}

static pawl_status read_weights(job *j, const char *start)
{
    pawl_source *source;
    PAWL_TRY(pawl_source_open(start, (pawl_which){NULL, 0}, j->o.model, &source));
    const pawl_status s = pawl_trainer_fill(j->trainer, pawl_source_read, source);
    pawl_source_close(source);
    return s;
}

static pawl_status begin_weights(job *j)
{
    const pawl_run_config *c = &j->o.config;
    const char *start = c->model.base_model[0] ? c->model.base_model : c->checkpoint.parent_checkpoint;
    if (j->o.adapter) return begin_adapter(j);
    if (start[0]) return read_weights(j, start);
    pawl_initial initial = {j->o.model, (uint64_t)c->train.seed};
    return pawl_trainer_fill(j->trainer, pawl_initial_read, &initial);
}

static pawl_status fill_weights(job *j)
{
    const char *parent = j->o.config.checkpoint.parent_checkpoint;
    PAWL_TRY(pawl_agree(j->comm, load_base(j)));
    if (j->resume[0]) return pawl_trainer_resume(j->trainer, j->resume);
    PAWL_TRY(pawl_agree(j->comm, begin_weights(j)));
    return parent[0] ? pawl_trainer_continue(j->trainer, parent) : PAWL_OK;
}

enum { PROFILE, PROFILE_STEPS, UNTIL };

/* A:B, where either may be left out. */
static pawl_status read_profile_steps(const char *text, pawl_profile_config *out)
{
    char first[24];
    const char *colon = text ? strchr(text, ':') : NULL;
    if (!text) return PAWL_OK;
    const size_t n = colon ? (size_t)(colon - text) : sizeof first;
    if (n < sizeof first) {
        memcpy(first, text, n);
        first[n] = 0;
        if ((n == 0 || (pawl_parse_i64(first, &out->first) && out->first >= 1)) &&
            (!colon[1] || (pawl_parse_i64(colon + 1, &out->last) && out->last >= 1 && out->last >= out->first)))
            return PAWL_OK;
    }
    return PAWL_FAIL(PAWL_EUSAGE, "pawl train: --profile-steps: expected FIRST:LAST, steps counted from 1 and both recorded, as 5:20, 5: or :20, found '%s'",
                     text);
}

static pawl_status read_options(const pawl_args *a, job *j)
{
    PAWL_TRY(read_profile_steps(a->option[PROFILE_STEPS], &j->profile));
    j->until = a->option[UNTIL];
    j->profiled = a->option[PROFILE] || a->option[PROFILE_STEPS];
    return PAWL_OK;
}

static pawl_status train(job *j, int *stopped, int *exit_status)
{
    pawl_outcome outcome;
    pawl_watch("opening output_dir", (double)j->o.config.comm.phase_seconds);
    PAWL_TRY(pawl_agree(j->comm, j->comm->rank == 0 ? claim_output(j) : PAWL_OK));
    PAWL_TRY(pawl_bcast(j->comm, j->resume, sizeof j->resume, 0));
    j->o.trains = 1;
    j->o.begins = !j->resume[0];
    PAWL_TRY(pawl_open_run(j->comm, &j->o, stopped));
    if (*stopped) return PAWL_OK;
    j->o.parts.until = j->until;
    j->o.parts.fill_base = fill_base;
    j->o.parts.fill_self = j;
    if (j->profiled) j->o.parts.profile = &j->profile;
    PAWL_TRY(pawl_resolve_auto(j->comm, &j->o, j->resume));
    PAWL_TRY(pawl_resolve_products(j->comm, &j->o, j->resume));
    PAWL_TRY(pawl_trainer_open(&j->o.parts, &j->trainer));
    pawl_watch("loading the weights", (double)j->o.config.comm.phase_seconds);
    PAWL_TRY(fill_weights(j));
    PAWL_TRY(pawl_agree(j->comm, j->comm->rank == 0 ? write_configuration(j) : PAWL_OK));
    PAWL_TRY(pawl_trainer_run(j->trainer, &outcome));
    *stopped = outcome == PAWL_STOPPED;
    if (outcome == PAWL_EXCEEDED) *exit_status = PAWL_EXIT_GATE;
    if (j->comm->rank == 0) pawl_report_at_end(j->o.config.train.output_dir);
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    job *j;
    int stopped = 0;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&j, sizeof *j, "the job")));
    j->comm = c;
    j->yaml = a->words[0];
    j->lock = -1;
    pawl_status s = pawl_agree(c, read_options(a, j));
    if (s == PAWL_OK) s = pawl_open_config(c, j->yaml, (char *const *)(a->words + 1), a->word_count - 1, &j->o);
    if (s == PAWL_OK) s = train(j, &stopped, exit_status);
    if (s == PAWL_OK && stopped) *exit_status = PAWL_EXIT_AGAIN;
    pawl_trainer_close(j->trainer);
    pawl_close_run(&j->o);
    if (j->lock >= 0) pawl_lock_close(j->lock);
    pawl_free(j);
    return s;
}

static void more_help(pawl_text *out)
{
    pawl_text_add(out, "\nStart it on N ranks with: mpirun -n N pawl train RUN.yaml\n"
                       "Stop it with SIGUSR1 to mpirun: it saves, exits with 75, and the same command goes on from there.\n\n");
    pawl_config_help(out);
}

const pawl_command pawl_command_train = {
    .name = "train",
    .usage = "[--profile] [--until STAGE] RUN.yaml [key=value ...]",
    .summary = "trains, saves, and resumes where it was stopped",
    .on_ranks = 1,
    .least = 1,
    .most = PAWL_WORDS_MAX,
    .options = {[PROFILE] = {"--profile", NULL, "say where the time goes: tables, profile.json and trace.json in output_dir"},
                [PROFILE_STEPS] = {"--profile-steps", "A:B", "--profile of steps A to B only; else all but the first"},
                [UNTIL] = {"--until", "STAGE", "end with the checkpoint of that stage; the same command without it goes on"}},
    .run = run,
    .more_help = more_help,
};
