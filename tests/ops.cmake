pawl_program(bench_ops DIR bench SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/bench/ops.c)
set_target_properties(bench_ops PROPERTIES OUTPUT_NAME ops)
pawl_loads_parts(bench_ops)
