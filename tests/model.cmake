# The decoder against reference implementations.
pawl_program(parity SOURCES parity.c)
file(GLOB hf_fixtures ${CMAKE_CURRENT_SOURCE_DIR}/fixtures/hf/*/expected.json)
list(TRANSFORM hf_fixtures REPLACE "/expected.json$" "")
pawl_script(parity 120 $<TARGET_FILE:parity> ${hf_fixtures})
pawl_program(parity_apart SOURCES parity.c e2e/apart.c) # the same on a device whose memory the host cannot touch
target_link_options(parity_apart PRIVATE -Wl,--wrap=pawl_device_open_cpu -rdynamic)
pawl_script(parity_apart 120 $<TARGET_FILE:parity_apart> ${hf_fixtures})
pawl_script(parity_bf16 120 $<TARGET_FILE:parity> --bf16 ${hf_fixtures})
