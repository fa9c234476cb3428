/* core/status.h - what a function returns, and the record of what went wrong.
 *
 * Whoever first knows what went wrong says so with PAWL_FAIL; everyone above only forwards with PAWL_TRY.
 * The record is plain bytes of fixed size: it works when memory is gone, and it can be sent to another rank. */
#ifndef PAWL_CORE_STATUS_H
#define PAWL_CORE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* code, exit status, meaning. A higher one is worse: pawl_agree() keeps the worst of all ranks. */
#define PAWL_STATUS_LIST(X)                              \
    X(OK, 0, "success")                                  \
    X(EUSAGE, 10, "bad command line or configuration")   \
    X(EDATA, 20, "malformed or unsuitable input")        \
    X(EMEM, 30, "out of memory")                         \
    X(EIO, 40, "file system error")                      \
    X(ECOMM, 50, "communication error")                  \
    X(EBUG, 60, "internal error")

#define PAWL_STATUS_ENUM(name, exit_status, text) PAWL_##name = exit_status,
typedef enum pawl_status { PAWL_STATUS_LIST(PAWL_STATUS_ENUM) } pawl_status;

/* Exit statuses that are not errors. */
enum { PAWL_EXIT_GATE = 70, PAWL_EXIT_AGAIN = 75 };

typedef struct pawl_error {
    pawl_status code;
    int rank;         /* where it happened; -1: not a matter of ranks, or not yet known */
    int located;      /* 1: `what` begins with FILE:LINE:COL: error: and is shown as it stands */
    int shown;        /* 1: the user has already been told (a list of errors, say) */
    int agreed;       /* 1: every rank holds this record (pawl_agree) */
    char what[1024];  /* one sentence that names the thing that failed */
    char trail[256];  /* "file:line < file:line", innermost first */
} pawl_error;

#define PAWL_MUST __attribute__((warn_unused_result))
#define PAWL_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

/* The last failure on this thread. */
pawl_error *pawl_last_error(void);
/* Makes e the last failure of this thread (one that came from another rank or thread). */
void pawl_adopt_error(const pawl_error *e);
const char *pawl_status_text(pawl_status s);

pawl_status pawl_fail_(pawl_status code, const char *file, int line, const char *format, ...) PAWL_PRINTF(4, 5);
pawl_status pawl_fail_at_(pawl_status code, const char *file, int line, const char *where, long at_line, long at_col,
                          const char *format, ...) PAWL_PRINTF(7, 8);
pawl_status pawl_trail_(pawl_status code, const char *file, int line);
void pawl_assert_(const char *condition, const char *file, int line) __attribute__((noreturn));

/* Called by a failed PAWL_ASSERT after it has printed; must not return. launch/ hands in MPI_Abort; the default is abort(). */
extern void (*pawl_abort_hook)(void);

/* The code stands outside the call so that the compiler sees a failure is never PAWL_OK. */
#define PAWL_FAIL(code, ...) ((void)pawl_fail_((code), __FILE__, __LINE__, __VA_ARGS__), (code))
/* For files that people write: `FILE:LINE:COL: error: SENTENCE`. at_col 0 leaves the column out, at_line 0 the line too. */
#define PAWL_FAIL_AT(code, where, at_line, at_col, ...) \
    ((void)pawl_fail_at_((code), __FILE__, __LINE__, (where), (at_line), (at_col), __VA_ARGS__), (code))
#define PAWL_CHECK(cond, code, ...)                             \
    do {                                                        \
        if (!(cond)) return PAWL_FAIL((code), __VA_ARGS__);     \
    } while (0)
#define PAWL_TRY(call)                                                 \
    do {                                                               \
        pawl_status s_ = (call);                                       \
        if (s_ != PAWL_OK) {                                           \
            (void)pawl_trail_(s_, __FILE__, __LINE__);                 \
            return s_;                                                 \
        }                                                              \
    } while (0)
/* In a function that owns something: keeps the status in `status` and goes to its label `out`. */
#define PAWL_TRY_OUT(call)                                \
    do {                                                  \
        status = (call);                                  \
        if (status != PAWL_OK) {                          \
            pawl_trail_(status, __FILE__, __LINE__);      \
            goto out;                                     \
        }                                                 \
    } while (0)
/* An assumption of ours, on in every build. */
#define PAWL_ASSERT(cond) ((cond) ? (void)0 : pawl_assert_(#cond, __FILE__, __LINE__))

#ifdef __cplusplus
}
#endif
#endif
