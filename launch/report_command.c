/* pawl report: what a run was, on one page that loads nothing. */
#include <stdio.h>

#include "core/file.h"
#include "launch/launch.h"
#include "launch/report/report.h"

enum { OUTPUT, COMPARE };

static pawl_status report(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    const char *run = a->words[0], *other = a->option[COMPARE];
    char to[1300] = "";
    (void)c;
    (void)exit_status;
    PAWL_CHECK(!a->option[OUTPUT] || a->option[OUTPUT][0], PAWL_EUSAGE,
               "pawl report: -o: expected the name of a file, found ''");
    if (!a->option[OUTPUT]) PAWL_TRY(pawl_path_join(to, sizeof to, run, other ? "compare.html" : "report.html"));
    const char *where = a->option[OUTPUT] ? a->option[OUTPUT] : to;
    PAWL_TRY(pawl_report_write(run, other, where));
    printf("%s\n", where);
    return PAWL_OK;
}

const pawl_command pawl_command_report = {
    .name = "report",
    .usage = "RUN_DIR [-o FILE] [--compare RUN_DIR]",
    .summary = "a page about a run: curves, retention, data, lineage, plan; loads nothing",
    .least = 1,
    .most = 1,
    .options = {[OUTPUT] = {"-o", "FILE", "where to; else RUN_DIR/report.html, with --compare RUN_DIR/compare.html"},
                [COMPARE] = {"--compare", "RUN_DIR", "another run, laid beside it on the same scales"}},
    .run = report,
};
