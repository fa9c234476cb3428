/* core/log.h - lines for people, on stderr: `12:03:04 r3 warn data: shard 17 shorter than its index`. */
#ifndef PAWL_CORE_LOG_H
#define PAWL_CORE_LOG_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pawl_log_level { PAWL_LOG_ERROR, PAWL_LOG_WARN, PAWL_LOG_INFO, PAWL_LOG_DEBUG } pawl_log_level;

/* Says once who speaks and how much. info and debug are shown by rank 0 only, error and warn by every rank. */
void pawl_log_open(int rank, pawl_log_level level);
void pawl_log(pawl_log_level level, const char *format, ...) PAWL_PRINTF(2, 3);

/* The error record as the user sees it, a line with its newline:
 * `FILE:LINE:COL: error: SENTENCE` or `rank R: SENTENCE [trail]`. Writes nothing when the user was already told. */
void pawl_show_error(const pawl_error *e);

#ifdef __cplusplus
}
#endif
#endif
