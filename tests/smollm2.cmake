# A real model. Without a network, and without the model in the user's cache, this test says so and is skipped.
pawl_program(smollm2 SOURCES smollm2.c)
pawl_loads_parts(smollm2)
pawl_script(smollm2 300 ${PROJECT_SOURCE_DIR}/tests/smollm2.sh)
set_tests_properties(smollm2 PROPERTIES SKIP_RETURN_CODE 77)
