/* trainer/continual/retention.h - how much is kept of what was learnt: the retention matrix, its figures, and where it
 * comes from.
 *
 * R[i][j]: how well the model does on domain j after stage i; row 0 is before the first. Below, T is the last row, l(j)
 * the stage in which j was learnt (0: known before the first), and higher is better; of a measure whose lower values
 * are better (a loss) the differences are turned round, so that the sign of a figure says the same: BWT and FWT above 0
 * are good, forgetting above 0 is bad. ACC, LA and AAA are means, in the measure's own unit. Only domains with l(j) <=
 * T take part. A run of T stages with one domain each has the figures of the papers.
 *
 *   ACC               mean over j of R[T][j]
 *   LA                mean over j of R[l(j)][j]
 *   AAA               mean over i = 1..T of the mean over l(j) <= i of R[i][j]
 *   BWT               mean over l(j) < T of R[T][j] - R[l(j)][j]                            (Lopez-Paz & Ranzato 2017:
 * divided by T - 1) BWT_final         the same sum divided by the number of all domains                     (as in
 * TRACE, Wang et al. 2023: by T) FWT               mean over l(j) >= 2 of R[l(j) - 1][j] - R[0][j] forgetting_mean mean
 * over l(j) < T of max over l(j) <= i < T of R[i][j], less R[T][j] (Chaudhry et al. 2018) forgetting_worst  their
 * maximum intransigence     mean over j of reference[j] - R[l(j)][j]                              (reference: learnt
 * alone, or jointly) */
#ifndef PAWL_TRAINER_CONTINUAL_RETENTION_H
#define PAWL_TRAINER_CONTINUAL_RETENTION_H

#include "core/json.h"
#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_NEVER_LEARNT = -1 };

/* One measure. NAN: not measured. */
typedef struct pawl_retention {
    int stages, columns; /* T; domains */
    int higher_is_better;
    char (*names)[96]; /* [columns] */
    int *learnt;       /* [columns]: l(j), or PAWL_NEVER_LEARNT */
    double *R;         /* [stages + 1][columns] */
    double *reference; /* [columns] */
} pawl_retention;

/* NAN: not defined, as what needs a stage before the last where there is one only. */
typedef struct pawl_retention_figures {
    double ACC, LA, AAA, BWT, BWT_final, FWT, forgetting_mean, forgetting_worst, intransigence;
    int worst; /* the column of forgetting_worst; -1 */
} pawl_retention_figures;

/* Everything NAN, no domain learnt. Errors: EMEM. */
PAWL_MUST pawl_status pawl_retention_open(int stages, int columns, int higher_is_better, pawl_retention *out);
void pawl_retention_close(pawl_retention *r);
/* Columns that lack what a figure needs do not take part in it. */
pawl_retention_figures pawl_retention_of(const pawl_retention *r);

/* The row that later ones of a column compare with: that of the stage it was learnt in, or the first one behind it that was measured (a run
 * that continues one may measure other texts); -1: none. */
int pawl_retention_from(const pawl_retention *r, int column);

/* {"R": [[...], ...], "before": [...] or null, "higher_is_better": bool}, and if they are there "domains": [names] and
 * "reference":
 * [...]. R has a row and a column for each stage; a row may end behind the diagonal, and what is above it may be null.
 * where names the file. Errors: EDATA naming row and column. */
PAWL_MUST pawl_status pawl_retention_parse(const json_t *file, const char *where, pawl_retention *out);
PAWL_MUST pawl_status pawl_retention_read(const char *path, pawl_retention *out);

/* What domains are measured by; ended by name NULL. The first is what figures are of where nothing else is said. */
typedef struct pawl_measure {
    const char *name;
    int higher_is_better;
    const char *counted; /* the key of a score that says over how much it is taken */
} pawl_measure;
extern const pawl_measure pawl_measures[];
/* NULL: there is none of that name. */
const pawl_measure *pawl_measure_named(const char *name);
/* 1 when some evaluation of the lineage has it. */
int pawl_retention_measured(const json_t *lineage, const char *measure);

/* The matrix by one of them out of a checkpoint's lineage: columns in the order
 * of learning, what was known before (general data) first, then what was never learnt. Of a continued run the stages of
 * all its parents, too. Rows are the ends of stages; a lineage from before there were stages has one, "main". Errors:
 * EDATA when nothing was measured. */
PAWL_MUST pawl_status pawl_retention_of_lineage(const json_t *lineage, const char *measure, const char *where,
                                                pawl_retention *out);
/* Names of a lineage's stages, in order: a new array. */
json_t *pawl_retention_stages(const json_t *lineage);

/* {domain: the stage that it was learnt in, from 1; 0: known before; -1: never}, in the order of columns. */
json_t *pawl_retention_learnt(const json_t *lineage);
/* Domains of which earlier runs of a lineage measured other held-out texts than the newest one, so that what they found stands in no
 * figure: the value at the newest one's start does in its place. A new array. */
json_t *pawl_retention_other_texts(const json_t *lineage);
/* The loss of a domain in the first probe of the same rows as `probe`'s: that of the end of its stage, or of a start where it was known;
 * infinite where it was no number; NAN without one. */
double pawl_retention_first(const json_t *lineage, const char *domain, const json_t *probe);
/* The lowest value of a domain since it was learnt, of whole evaluations; NAN. */
double pawl_retention_best(const json_t *lineage, const char *measure, const char *domain, int learnt);

/* What happened between the ends of stages, by a measure of which less is better. Of every domain that was learnt
 * before a later stage: peak, the best value since it was learnt and before the worst; worst, the worst since; final,
 * the last one. The stability gap is worst - peak; what was recovered of it (worst - final) / (worst - peak), null
 * without a gap; a difference that rounding makes (1e-6 of the value) is none. Sets them as an object {domain: {peak, worst, worst_step, worst_stage, final, gap, recovered}}, from
 * probes where there are any (they are of the same rows every time), else from evaluations. */
PAWL_MUST pawl_status pawl_retention_gaps(const json_t *lineage, const char *measure, json_t **out);

/* Figures and matrix for other programs: ACC ... forgetting_worst, higher_is_better, domains, learnt_after, before,
 * matrix. */
PAWL_MUST pawl_status pawl_retention_json(const pawl_retention *r, json_t **out);

#ifdef __cplusplus
}
#endif
#endif
