pawl_program(bench_step DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/step.c)
set_target_properties(bench_step PROPERTIES OUTPUT_NAME step)
