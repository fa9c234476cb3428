pawl_program(bench_step DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/step.c)
set_target_properties(bench_step PROPERTIES OUTPUT_NAME step)
# Protocol P-S: gates on what methods keep; skipped where its texts cannot be fetched. Methods that do nothing in the first stage go on from one
# run of it, which takes a third less time; without --one-first each has its own, as in docs/benchmarks.md.
pawl_script(continual 900 ${PAWL_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/bench/continual --one-first)
set_tests_properties(continual PROPERTIES SKIP_RETURN_CODE 77 PROCESSORS 2)
pawl_program(bench_reduce DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/reduce.c)
set_target_properties(bench_reduce PROPERTIES OUTPUT_NAME reduce)
pawl_program(bench_lora DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/lora.c)
set_target_properties(bench_lora PROPERTIES OUTPUT_NAME lora)
pawl_loads_parts(bench_lora) # tests/on_device.h
pawl_loads_parts(bench_step)
pawl_loads_parts(bench_reduce)
target_sources(bench_reduce PRIVATE ${CMAKE_CURRENT_LIST_DIR}/cuda_on_cpu/patient_mpi.c) # so that it runs on stand-ins, too
pawl_program(bench_tokenize DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/tokenize.c)
set_target_properties(bench_tokenize PROPERTIES OUTPUT_NAME tokenize)
pawl_program(bench_memory DIR bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/bench/memory.c)
set_target_properties(bench_memory PROPERTIES OUTPUT_NAME memory)
