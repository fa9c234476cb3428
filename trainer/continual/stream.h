/* trainer/continual/stream.h - the loop's side of stages, memory and methods. */
#ifndef PAWL_TRAINER_CONTINUAL_STREAM_H
#define PAWL_TRAINER_CONTINUAL_STREAM_H

#include "trainer/continual/finished.h"
#include "trainer/continual/methods.h"

/* How far a stage is. A checkpoint made on a stop at a stage's last step says which of its ends' parts are done. */
typedef enum pawl_phase {
    PAWL_PHASE_STEPS,  /* its steps */
    PAWL_PHASE_SEALED, /* the last change of its weights is made; it may be measured */
    PAWL_PHASE_ENDED   /* measured, remembered, saved */
} pawl_phase;

typedef struct pawl_course {
    pawl_stream stream;
    int stage;  /* the present one */
    int before; /* stages of the finished runs that this one continues */
    int until;  /* the last stage of this process */
    pawl_phase phase;
    int64_t consumed, credit; /* of the stage: new rows so far, and the account of replayed ones */
    double ratio;             /* share of replayed rows now */
    pawl_memory_inputs memory_in;
    pawl_memory *memory; /* NULL: none */
    pawl_finished *finished; /* NULL: one adapter for all stages, or none */
    pawl_methods methods;
    int general_known;    /* a run that begins continues one that has measured general data */
    pawl_text taken_over; /* lines about what methods took over from it; shown when the run begins */
    pawl_drift *drift; /* NULL: none */
    float *losses; /* policy loss: of each row of the training data when it was seen last, a token; below 0: not in this
                      stage */
    int64_t *first_row; /* ... and where a dataset's begin, [datasets + 1] */
    pawl_state state;   /* all that a checkpoint holds */
} pawl_course;

/* A hook of all methods, which are told where the run is. Collective. */
PAWL_MUST pawl_status pawl_course_call(pawl_trainer *t, pawl_hook hook);

/* Memory and methods of the run. Collective. */
PAWL_MUST pawl_status pawl_course_open(pawl_trainer *t);
void pawl_course_close(pawl_trainer *t);
const pawl_stage *pawl_course_stage(const pawl_trainer *t);

/* /run of a checkpoint. Errors: EMEM. */
PAWL_MUST pawl_status pawl_course_json(const pawl_trainer *t, json_t **out);
/* Takes over what a checkpoint of this run says in /run, then its tensors and its memory. Collective. Errors: EDATA. */
PAWL_MUST pawl_status pawl_course_place(pawl_trainer *t, const pawl_checkpoint *k);
PAWL_MUST pawl_status pawl_course_resume(pawl_trainer *t, const pawl_checkpoint *k);
/* Takes over a finished run's memory, what methods have found there, and its record of stages and evaluations. Collective. */
PAWL_MUST pawl_status pawl_course_continue(pawl_trainer *t, const pawl_checkpoint *k);
/* A domain that replay.domains names is one of this run's, or of the memory that it takes over. Local. Errors: EUSAGE. */
PAWL_MUST pawl_status pawl_course_require_domains(const pawl_trainer *t);
/* What of it methods take over (carried.c): named in the lineage's `carried`, and in lines of course->taken_over. Local. Errors: EDATA. */
PAWL_MUST pawl_status pawl_course_carry(pawl_trainer *t, const pawl_checkpoint *k);

/* A new run begins: methods, the general data and what the model writes into the memory, the first stage. *stopped = 1: a rank was asked to
 * stop before that was done. Collective. */
PAWL_MUST pawl_status pawl_course_begin(pawl_trainer *t, int *stopped);
/* The rows of the next step, put up in the stepper. Local. */
PAWL_MUST pawl_status pawl_course_order(pawl_trainer *t, pawl_step_order *out);
/* The step is done: counts what was seen. Local. */
void pawl_course_count(pawl_trainer *t, const pawl_step_order *o);
/* The stage's last step is done: seals its weights. Collective. */
PAWL_MUST pawl_status pawl_course_seal(pawl_trainer *t);
/* It is measured: methods, memory, lineage; the saver is opened anew where the memory changed. Collective. */
PAWL_MUST pawl_status pawl_course_end(pawl_trainer *t);
/* The next stage begins. Collective. */
PAWL_MUST pawl_status pawl_course_advance(pawl_trainer *t);
/* Opens the saver for what there is to be saved now. Collective. */
PAWL_MUST pawl_status pawl_course_saver(pawl_trainer *t);
/* Bytes of memory and methods on this rank; for the plan. */
size_t pawl_course_memory_bytes(const pawl_parts *p);

#endif
