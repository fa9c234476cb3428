pawl_program(slow_pawl SOURCES ${CMAKE_CURRENT_LIST_DIR}/e2e/slow_pawl.c)
pawl_program(counted_pawl SOURCES ${CMAKE_CURRENT_LIST_DIR}/e2e/counted_pawl.c LIBS ${CMAKE_DL_LIBS})
foreach(name malloc calloc realloc free aligned_alloc posix_memalign strdup mmap munmap
        pawl_step_compute pawl_step_update pawl_save_lay_out pawl_save_write pawl_save_publish)
  target_link_options(counted_pawl PRIVATE -Wl,--wrap=${name})
endforeach()
target_link_options(counted_pawl PRIVATE -rdynamic)
# pawl on a device whose memory the host cannot touch (apart_memory.c).
pawl_program(apart_pawl SOURCES ${CMAKE_CURRENT_LIST_DIR}/e2e/apart_memory.c ${PROJECT_SOURCE_DIR}/launch/main.c)
target_sources(test_apart PRIVATE ${CMAKE_CURRENT_LIST_DIR}/e2e/apart_memory.c)
foreach(program apart_pawl test_apart)
  target_link_options(${program} PRIVATE -Wl,--wrap=pawl_device_open_cpu -rdynamic)
endforeach()
foreach(name apart ranks passes zero optim stop saves commands plan bad data kill gguf lora merge finetune peaks profile allocations report memory stages synthesis)
  pawl_script(e2e_${name} 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/${name}.py)
endforeach()

# The long campaigns: launch/test --full.
pawl_script(e2e_campaign 3600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/campaign.py)
pawl_script(e2e_kill_again 900 ${CMAKE_COMMAND} -E env PAWL_KILL_SEED=21 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/kill.py)
set_tests_properties(e2e_campaign e2e_kill_again PROPERTIES LABELS long)

foreach(name methods methods_oracle lora_stages)
  pawl_script(e2e_${name} 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/${name}.py)
endforeach()
# Three stages with replay, killed. The methods beside it stand here, as keys of the run.
set(kill_stages ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/kill.py stages "der={alpha: 0.3, beta: 0.5, top_k: 8, ratio: 0.25}" "ewc={lambda: 10, samples: 16}")
pawl_script(e2e_kill_stages 600 ${kill_stages})
pawl_script(e2e_kill_stages_again 3600 ${CMAKE_COMMAND} -E env PAWL_KILL_SEED=22 PAWL_KILLS=40 ${kill_stages})
set_tests_properties(e2e_kill_stages_again PROPERTIES LABELS long)

pawl_script(e2e_bf16 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/bf16.py)
pawl_script(e2e_fp8 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/fp8.py)
pawl_script(e2e_rounding 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/rounding.py)
pawl_script(e2e_retention 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/retention.py)

# In headless Chromium, where it is installed (launch/setup --browser); elsewhere it is skipped, by name.
pawl_script(report_browser 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/report_browser.py)
set_tests_properties(report_browser PROPERTIES SKIP_RETURN_CODE 77)
