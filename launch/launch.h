/* launch/launch.h - the program: one file per subcommand, and the only place that knows how everything is put together. */
#ifndef PAWL_LAUNCH_LAUNCH_H
#define PAWL_LAUNCH_LAUNCH_H

#include "configs/configs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The whole program; returns its exit status (docs/running.md). Tests call it with an I/O table of their own. */
int pawl_main(int argc, char **argv);

/* ---- Commands and their options ---- */
enum { PAWL_OPTIONS_MAX = 12, PAWL_WORDS_MAX = 256 };

typedef struct pawl_option {
    const char *name;  /* "--prompt" */
    const char *value; /* "TEXT" in help; NULL: the option takes none */
    const char *help;
} pawl_option;

typedef struct pawl_args {
    const char *program;
    const char *words[PAWL_WORDS_MAX]; /* what is not an option, in order */
    int word_count;
    const char *option[PAWL_OPTIONS_MAX]; /* by row; NULL: not given; "" for one without a value */
} pawl_args;

typedef struct pawl_command {
    const char *name, *usage, *summary;
    int on_ranks; /* 1: started under MPI, all ranks take part */
    int least, most; /* words it takes */
    pawl_option options[PAWL_OPTIONS_MAX];
    pawl_status (*run)(pawl_comm *c, const pawl_args *a, int *exit_status);
    void (*more_help)(pawl_text *out); /* NULL: none */
} pawl_command;

extern const pawl_command pawl_command_train, pawl_command_eval, pawl_command_generate, pawl_command_import, pawl_command_export,
    pawl_command_config, pawl_command_data, pawl_command_plan, pawl_command_tokenize, pawl_command_render, pawl_command_show, pawl_command_verify, pawl_command_log, pawl_command_memory,
    pawl_command_merge, pawl_command_retention, pawl_command_report;

/* Errors: EUSAGE naming the word, with the nearest option. */
PAWL_MUST pawl_status pawl_options_parse(const pawl_command *c, int argc, char **argv, pawl_args *out);
void pawl_options_help(const pawl_command *c, pawl_text *out);
/* A number out of an option; dflt when it was not given. Errors: EUSAGE. */
PAWL_MUST pawl_status pawl_option_i64(const pawl_command *c, const pawl_args *a, int row, int64_t lo, int64_t hi, int64_t dflt,
                                      int64_t *out);
PAWL_MUST pawl_status pawl_option_f64(const pawl_command *c, const pawl_args *a, int row, double lo, double hi, double dflt,
                                      double *out);
/* Bytes, as 80GiB or 80GB; the option was given. Errors: EUSAGE. */
PAWL_MUST pawl_status pawl_option_size(const pawl_command *c, const pawl_args *a, int row, double *out);
/* Prints one JSON document, indented, and releases it. */
PAWL_MUST pawl_status pawl_print_json(json_t *value);
/* Somebody else's text on stdout. Lines and tabs are as they are; what else would steer a terminal, or turn its writing round, is its number:
 * \u001b. text is followed by a NUL. */
void pawl_print_text(const char *text, size_t bytes);
/* The same of what belongs into one line, a name say: such characters, and ends of lines, are '?'. */
void pawl_print_line(const char *text);
/* As much of that as there is room for; returns room. */
const char *pawl_shown(const char *text, char *room, size_t bytes);

/* Answers each line of standard input, a JSON value (flags: jansson's, for its reading), with a line of standard output.
 * Errors: the answer's, as stdin:LINE; EIO. */
typedef pawl_status (*pawl_answer_line)(void *context, const json_t *value, pawl_text *out);
PAWL_MUST pawl_status pawl_answer_lines(size_t flags, pawl_answer_line answer, void *context);

/* ---- The machine ---- */
/* Threads for this rank: those asked for, or the cores it is bound to, shared with the ranks bound to the same ones.
 * Collective. */
PAWL_MUST pawl_status pawl_threads_here(pawl_comm *c, int64_t asked, int *threads);
/* Which GPU of the `gpus` that this process sees (CUDA_VISIBLE_DEVICES) is this rank's: its number among the ranks of the machine, as MPI
 * says, or, where MPI sees it alone, its launcher, round and round. */
int pawl_gpu_here(const pawl_comm *c, int gpus);
/* The device of that choice. auto says in a line why it is not a GPU: where it trains always, else only where there is a driver. Local. Errors: EUSAGE when cuda is asked for and cannot be. */
PAWL_MUST pawl_status pawl_open_device(const pawl_comm *c, pawl_device_choice choice, int threads, int trains, pawl_device **out);
/* Whose attention a device has in a run in bf16; auto says in a line why it is not cuDNN's. Local. Errors: EUSAGE when cudnn is asked for and
 * cannot be loaded. */
PAWL_MUST pawl_status pawl_choose_attention(pawl_device *d, const pawl_train_config *train);
/* Where the CUDA backend is looked for; tests put another in. */
extern const pawl_cuda_place *pawl_cuda_in_use;
/* The user's cache folder for prepared data; "" when there is none. */
void pawl_cache_folder(char *out, size_t room);
/* Refuses a folder that holds something: another model or a run may lie there, and is not written over. verb says what the
 * command does ("import"). A folder that is not there is empty. Errors: EUSAGE, EIO. */
PAWL_MUST pawl_status pawl_require_empty(const char *dir, const char *verb);
/* The folder that a word names, without slashes behind it; refused as above. Errors: EUSAGE, EIO. */
PAWL_MUST pawl_status pawl_folder_named(const char *word, const char *verb, char dir[1024]);
PAWL_MUST pawl_status pawl_parent_make(const char *dir); /* the folder that dir lies in */
/* dir, which is not there or empty, becomes what `make` has put into the folder it was given; or stays as it was. The parent of dir
 * must be there. Errors: make's; EIO. */
PAWL_MUST pawl_status pawl_make_aside(const char *dir, pawl_status (*make)(void *self, const char *dir), void *self);
/* Whether what this rank writes to stderr ends on a terminal: its own, or that of the mpirun on this machine that passes it on. */
int pawl_on_terminal(void);
/* From here on SIGUSR1, SIGTERM and SIGINT set pawl_stop_asked. */
void pawl_catch_signals(void);

/* How far the preparation of data is, on stderr; as pawl_data_inputs wants it. Afterwards its line is ended. */
void pawl_show_preparing(const char *what, const char *domain, int64_t done, int64_t all);
void pawl_end_preparing(void);

/* The path of the first dataset of a run that is not there; NULL: all are. */
const char *pawl_missing_dataset(const pawl_run_config *c);
/* The path of the first one that would read files of these names (a NULL ends them) below the folder dir; NULL: none would. */
const char *pawl_dataset_around(const pawl_run_config *c, const char *dir, const char *const *names);

/* ---- Opening what a run is made of ---- */
typedef struct pawl_opened {
    pawl_run_config config;
    json_t *configuration, *base, *parent, *products;
    char tokenizer_spec[1024];
    pawl_tokenizer *tokenizer;
    pawl_model *model;
    pawl_device *device;
    int device_ranks;           /* that share it */
    pawl_comm *connected;       /* whose ranks' devices have been joined; NULL: none */
    pawl_adapter *adapter;      /* NULL: all weights are trained */
    json_t *adapter_settings, *adapter_start; /* start: lineage of lora_model_dir */
    char adapter_base[1024];    /* where the weights under the adapter are read from */
    int adapter_goes_on;        /* its weights begin as those of the parent's adapter */
    int adapters_before;        /* finished adapters that the run begins on: the parent's, the one that goes on included */
    pawl_data *data;
    int trains;                 /* set by who opens a run to train it */
    int begins;                 /* set by who opens a run that begins: then prompts of synthesis are read */
    pawl_prompts *prompts;
    pawl_parts parts;
} pawl_opened;

/* Reads RUN.yaml and overrides on rank 0, shows all errors, and gives every rank the same configuration. Collective. */
PAWL_MUST pawl_status pawl_open_config(pawl_comm *c, const char *yaml, char *const *overrides, int count, pawl_opened *o);
/* Tokenizer, model, device and data of the configuration. *stopped = 1 when a rank was asked to stop meanwhile. Collective. */
PAWL_MUST pawl_status pawl_open_run(pawl_comm *c, pawl_opened *o, int *stopped);
/* Tokenizer and data alone. Collective. */
PAWL_MUST pawl_status pawl_open_data(pawl_comm *c, pawl_opened *o, int *stopped);
/* A whole run for a plan on o->device, which is open, with what is there: of a model its configuration is enough; without the data, or
 * the tokenizer that reads them, o->parts.data is NULL and *missing says what lacks. No weights are read. Local: c is of one rank. */
PAWL_MUST pawl_status pawl_open_plan(pawl_comm *c, pawl_opened *o, pawl_text *missing, int *stopped);
void pawl_close_run(pawl_opened *o);

/* Puts numbers in the place of `auto`: those that checkpoint (NULL or "": none) was made with, else what rank 0 plans for the
 * least memory that a rank has. Collective. */
PAWL_MUST pawl_status pawl_resolve_auto(pawl_comm *c, pawl_opened *o, const char *checkpoint);
/* Which algorithms products are computed by (tune_products): those that checkpoint (NULL or "": none) was computed by, where rank 0's device takes
 * them, else what rank 0 times. Every rank's device then has them, and o->parts.products. Collective. */
PAWL_MUST pawl_status pawl_resolve_products(pawl_comm *c, pawl_opened *o, const char *checkpoint);
PAWL_MUST pawl_status pawl_set_micro(pawl_opened *o, int64_t micro);

/* ---- Machines that a plan knows (devices.c) ---- */
typedef struct pawl_preset {
    const char *name;
    double memory;       /* bytes that a rank can have; 0: not known, or what this machine can give */
    double bf16, fp32;   /* peak, FLOP/s of a rank's device; 0: measured here */
    double share;        /* of the peak that training is assumed to reach */
    int ranks_a_machine; /* 0: all on this one */
    int gpu;             /* with memory of its own */
    int no_fp8;          /* before Ada: products of 8-bit floats are refused there */
} pawl_preset;
/* Errors: EUSAGE naming those that are known. */
PAWL_MUST pawl_status pawl_preset_find(const char *name, const pawl_preset **out);

/* A GGUF file stands for the folder that it is imported into, once, below the user's cache folder; any other path for
 * itself. Local; any number of processes may ask at once. Errors: as the import's. */
int pawl_is_gguf(const char *path);
PAWL_MUST pawl_status pawl_model_folder(const char *path, char dir[1024]);
/* The same for base_model and tokenizer of a run, whose configuration names the folders from then on: rank 0 imports and
 * the others wait. Collective. */
PAWL_MUST pawl_status pawl_import_start(pawl_comm *c, pawl_opened *o);

/* ---- Models and weights, wherever they are (described.c, weights.c): a checkpoint, a run's folder (its newest checkpoint), a Hugging
 * Face directory, a PEFT directory. An adapter's weights are worked into those of its base, which is opened again from
 * where the adapter's record says it was, and checked against its digests. All local. ---- */

/* base: where the base of an adapter lies now; NULL: where it was. ema: 1, the average of the weights that a run kept, not the weights
 * themselves. Errors: EUSAGE when the base is gone or has changed, or there is no average. */
typedef struct pawl_which {
    const char *base;
    int ema;
} pawl_which;
typedef struct pawl_loaded {
    pawl_model *model;
    pawl_device *device; /* in whose memory the weights are; NULL: the host's */
    pawl_arena arena;
    float *weights;
    char tokenizer_spec[1024];
    pawl_tokenizer *tokenizer;
} pawl_loaded;
PAWL_MUST pawl_status pawl_load_model(const char *path, pawl_which which, pawl_device *d, pawl_loaded *out);
void pawl_unload_model(pawl_loaded *l);
/* Lineage, or of it the configuration, of the run that made path; NULL for what no run of ours made. */
PAWL_MUST pawl_status pawl_run_lineage(const char *path, json_t **out);
PAWL_MUST pawl_status pawl_run_configuration(const char *path, json_t **out);
/* Leaves the template of the run that made path in dir, an exported folder, unless it is the tokenizer's own. Local. */
PAWL_MUST pawl_status pawl_chat_export(const char *path, const char *dir);
/* Ids of a conversation of one question, up to where the answer begins, in the template of the run that made path, else in
 * the tokenizer's own. *turn_end: the token that ends an answer there, or -1. Local. Errors: as pawl_renderer_open's. */
PAWL_MUST pawl_status pawl_chat_question(const char *path, const pawl_loaded *l, const char *question, pawl_encoding *out,
                                         int32_t *turn_end);
/* The weights of path into flat, zeros at first, in d's memory (NULL: the host's), laid out as m; the architecture must be the same. */
PAWL_MUST pawl_status pawl_load_weights(const char *path, pawl_which which, const pawl_model *m, pawl_device *d, float *flat);
/* The same tensor by tensor: pawl_source_read is a pawl_weight_read. */
typedef struct pawl_source pawl_source;
PAWL_MUST pawl_status pawl_source_open(const char *path, pawl_which which, const pawl_model *m, pawl_source **out);
pawl_status pawl_source_read(void *source, int tensor, float *to);
void pawl_source_close(pawl_source *s);
/* Whether a folder holds a model in Hugging Face's form; or an adapter in PEFT's, and no model. */
int pawl_is_hugging_face(const char *path);
int pawl_is_adapter_folder(const char *path);
/* What the model at path is, and what opens its tokenizer. */
PAWL_MUST pawl_status pawl_describe_model(const char *path, pawl_model_config *model, char spec[1024]);
/* {path, files [{name, bytes, sha256}]} of a Hugging Face directory, {path, step, root_sha256} of a checkpoint; paths from
 * the root. */
PAWL_MUST pawl_status pawl_weights_lineage(const char *path, json_t **out);

/* What the model at path may be used under, as far as it says so: an array of names, without repetition, sorted (an import's
 * record, a model card's front matter, the datasets of a run). json_decref it. */
PAWL_MUST pawl_status pawl_model_licenses(const char *path, json_t **out);

/* The adapter at path apart from its base: its settings (NULL when there is none there; json_decref them), its base as
 * lineage says (NULL in a PEFT directory; json_decref it) and where that is. */
PAWL_MUST pawl_status pawl_describe_adapter(const char *path, json_t **settings, json_t **base_lineage, char base[1024]);
/* How many adapters of finished stages the checkpoint at path holds under its last one (lora_stages). */
PAWL_MUST pawl_status pawl_count_finished(const char *path, int *count);
/* All of them and the last one, in their order, laid out as a; s->flats is to be pawl_free'd, also after an error. */
PAWL_MUST pawl_status pawl_load_stack(const char *path, int ema, const pawl_adapter *a, pawl_stack *s);
/* The last one's weights into flat, laid out as a. */
PAWL_MUST pawl_status pawl_load_adapter(const char *path, int ema, const pawl_adapter *a, float *flat);
/* That the base of an adapter is there still; who: of the adapter. Errors: EUSAGE. */
PAWL_MUST pawl_status pawl_require_base(const char *path, const char *who);
/* Errors: EUSAGE when the model at path is not the one of a lineage record. who: what stands on it, for the sentence. */
PAWL_MUST pawl_status pawl_check_base(const json_t *lineage, const char *path, const char *who);

/* ---- The adapter of a run (adapter.c) ---- */
/* Opens what `adapter:` and its keys ask for on o->model, and says what it stands on. Local. */
PAWL_MUST pawl_status pawl_choose_adapter(pawl_opened *o);

#ifdef __cplusplus
}
#endif
#endif
